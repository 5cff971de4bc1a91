//! How a value that may grow is filled in: what identifies it is given to its constructor, and the rest is set.

/// Defines one setter for each of these fields, named like it: it takes the field's type, and with `into` whatever turns
/// into that, so that what is optional is given with or without `Some`.
macro_rules! setters {
    ($type:ident: $($fields:tt)*) => {
        impl $type {
            $crate::setters::setters!(@ $($fields)*);
        }
    };
    (@ $field:ident: into $value:ty, $($rest:tt)*) => {
        #[doc = concat!("With this [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: impl Into<$value>) -> Self {
            self.$field = $field.into();
            self
        }

        $crate::setters::setters!(@ $($rest)*);
    };
    (@ $field:ident: $value:ty, $($rest:tt)*) => {
        #[doc = concat!("With this [`", stringify!($field), "`](field@Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: $value) -> Self {
            self.$field = $field;
            self
        }

        $crate::setters::setters!(@ $($rest)*);
    };
    (@) => {};
}

pub(crate) use setters;
