//! What points to an implementation is one: `Arc<LibsqlStore>`, `Box<dyn Tool>` and `&KeyFile` go wherever a store, a tool
//! and a key source are asked for.

/// Implements a trait for `&T`, `Box<T>` and `Arc<T>` of whatever implements it, a trait object as well. All its methods are
/// listed as the trait declares them: one that is missing does not compile, and one with a default does not pass the lint.
///
/// With the category of a store that a trait reads, it is read in spaces too, where the suites run.
macro_rules! forward {
    ($trait:ident $category:ident: $($methods:tt)*) => {
        $crate::forward::forward!(@ $trait [] [] $($methods)*);
        #[cfg(feature = "conformance")]
        $crate::conformance::store::spaced!($trait $category: $($methods)*);
    };
    ($trait:ident: $($methods:tt)*) => {
        $crate::forward::forward!(@ $trait [] [] $($methods)*);
    };
    (@ $trait:ident [$($attribute:tt)*] [$($done:tt)*]
        async fn $name:ident(&self $(, $arg:ident: $type:ty)* $(,)?) $(-> $output:ty)?; $($rest:tt)*) => {
        $crate::forward::forward!(@ $trait [#[async_trait::async_trait]] [
            $($done)*
            async fn $name(&self $(, $arg: $type)*) $(-> $output)? {
                (**self).$name($($arg),*).await
            }
        ] $($rest)*);
    };
    (@ $trait:ident [$($attribute:tt)*] [$($done:tt)*]
        fn $name:ident(&self $(, $arg:ident: $type:ty)* $(,)?) $(-> $output:ty)?; $($rest:tt)*) => {
        $crate::forward::forward!(@ $trait [$($attribute)*] [
            $($done)*
            fn $name(&self $(, $arg: $type)*) $(-> $output)? {
                (**self).$name($($arg),*)
            }
        ] $($rest)*);
    };
    (@ $trait:ident [$($attribute:tt)*] [$($done:tt)*]) => {
        $($attribute)*
        #[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
        impl<T: $trait + ?Sized> $trait for &T { $($done)* }

        $($attribute)*
        #[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
        impl<T: $trait + ?Sized> $trait for Box<T> { $($done)* }

        $($attribute)*
        #[deny(clippy::missing_trait_methods, reason = "a wrapper forwards everything")]
        impl<T: $trait + ?Sized> $trait for std::sync::Arc<T> { $($done)* }
    };
}

pub(crate) use forward;
