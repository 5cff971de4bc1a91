//! Time: UTC with microseconds, from a clock that is passed in.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::forward::forward;
use crate::input::{InputError, Problem};

/// A point in time: microseconds since 1970-01-01T00:00:00Z. Serialised as RFC 3339 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The last microsecond of the year 9999, the end of what RFC 3339 can say.
const MAX_MICROS: i64 = 253_402_300_799_999_999;
/// The first microsecond of the year 0.
const MIN_MICROS: i64 = -62_167_219_200_000_000;

impl Timestamp {
    /// The time that many microseconds after 1970, held within the years 0 to 9999.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(MIN_MICROS, MAX_MICROS))
    }

    /// Microseconds since 1970.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// The time `duration` later, at most the end of the year 9999.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// The time `duration` earlier, at least the start of the year 0.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_sub(micros))
    }

    /// Reads RFC 3339 text; anything finer than a microsecond is cut off.
    ///
    /// # Errors
    /// [`Problem::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        let malformed = || InputError::new("time", Problem::Malformed { expected: "an RFC 3339 time" });
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| malformed())?;
        let micros = time.unix_timestamp_nanos().div_euclid(1_000);
        i64::try_from(micros).map(Self::from_micros).map_err(|_| malformed())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000).map_err(|_| fmt::Error)?;
        let (date, clock) = (time.date(), time.time());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            clock.hour(),
            clock.minute(),
            clock.second(),
            clock.microsecond()
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Where the time comes from.
///
/// ```
/// use ironclaw_core::{Clock, SystemClock, Timestamp};
///
/// /// Always midnight, for a test whose days must not turn.
/// #[derive(Debug)]
/// struct Midnight;
///
/// impl Clock for Midnight {
///     fn now(&self) -> Timestamp {
///         let day = 86_400_000_000;
///         Timestamp::from_micros(SystemClock.now().as_micros().div_euclid(day) * day)
///     }
/// }
///
/// assert!(Midnight.now() <= SystemClock.now());
/// ```
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
}

forward! {
    Clock:
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to say of it, and `SystemClock` is how it is made")]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = OffsetDateTime::now_utc().unix_timestamp_nanos().div_euclid(1_000);
        Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// A clock that moves only when told to, for tests that must hold time still.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock standing at `time`.
    pub fn at(time: Timestamp) -> Self {
        Self(AtomicI64::new(time.as_micros()))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let later = self.now().after(by);
        self.set(later);
    }

    /// Sets the clock to `time`, forward or back.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prints_rfc_3339_with_microseconds() {
        let time = Timestamp::from_micros(1_700_000_000_000_001);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.000001Z");
        assert_eq!(Timestamp::parse("2023-11-14T23:13:20.0000019+01:00").unwrap(), time);
        assert!(Timestamp::parse("yesterday").is_err());
    }

    proptest! {
        #[test]
        fn text_round_trips(micros in any::<i64>()) {
            let time = Timestamp::from_micros(micros);
            prop_assert_eq!(Timestamp::parse(&time.to_string()).unwrap(), time);
        }
    }
}
