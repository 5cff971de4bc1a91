//! Exact numbers: fractions of big integers, which become decimals at the very end.

use ironclaw_tool_sdk::Failure;
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

/// The significant digits of a result whose digits do not end.
const DIGITS: u64 = 50;
/// The most digits of a numerator or denominator.
const MAX_DIGITS: u64 = 10_000;
/// About as many bits.
const MAX_BITS: u64 = 33_220;

/// A number, and whether it is the very one that was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    value: BigRational,
    exact: bool,
}

impl Number {
    /// `digits` times ten to the power of `exponent`.
    pub(crate) fn from_digits(digits: &str, exponent: i64) -> Result<Self, Failure> {
        if exponent.unsigned_abs() > MAX_DIGITS {
            return Err(too_large());
        }
        let whole: BigInt = digits.parse().map_err(|_| Failure::invalid("a number needs digits"))?;
        Self::new(BigRational::from(whole) * power_of_ten(exponent), true)
    }

    pub(crate) fn add(&self, other: &Self) -> Result<Self, Failure> {
        Self::new(&self.value + &other.value, self.exact && other.exact)
    }

    pub(crate) fn subtract(&self, other: &Self) -> Result<Self, Failure> {
        Self::new(&self.value - &other.value, self.exact && other.exact)
    }

    pub(crate) fn multiply(&self, other: &Self) -> Result<Self, Failure> {
        Self::new(&self.value * &other.value, self.exact && other.exact)
    }

    pub(crate) fn divide(&self, other: &Self) -> Result<Self, Failure> {
        if other.value.is_zero() {
            return Err("division by zero".into());
        }
        Self::new(&self.value / &other.value, self.exact && other.exact)
    }

    /// What is left of a division; it has the sign of what was divided.
    pub(crate) fn remainder(&self, other: &Self) -> Result<Self, Failure> {
        if other.value.is_zero() {
            return Err("division by zero".into());
        }
        Self::new(&self.value % &other.value, self.exact && other.exact)
    }

    pub(crate) fn negate(&self) -> Self {
        Self { value: -&self.value, exact: self.exact }
    }

    pub(crate) fn absolute(&self) -> Self {
        Self { value: self.value.abs(), exact: self.exact }
    }

    pub(crate) fn is_less(&self, other: &Self) -> bool {
        self.value < other.value
    }

    /// To a whole power. `0^0` is 1.
    pub(crate) fn power(&self, exponent: &Self) -> Result<Self, Failure> {
        let n = exponent.to_whole("the exponent; sqrt(x) is the square root")?;
        if n < 0 && self.value.is_zero() {
            return Err("division by zero: zero to a negative power".into());
        }
        // Checked before it is calculated, for that is what takes the time and the memory. One and zero never grow.
        let bits = self.value.numer().bits().max(self.value.denom().bits());
        if bits > 1 && (bits - 1).saturating_mul(n.unsigned_abs()) > MAX_BITS {
            return Err(too_large());
        }
        let n = i32::try_from(n).map_err(|_| too_large())?;
        Self::new(Pow::pow(&self.value, n), self.exact && exponent.exact)
    }

    /// Exact when it is a fraction of whole numbers, else to at least [`DIGITS`] significant digits.
    pub(crate) fn square_root(&self) -> Result<Self, Failure> {
        if self.value.is_negative() {
            return Err("the square root of a negative number is not a real number".into());
        }
        let (numer, denom) = (self.value.numer(), self.value.denom());
        let (root_numer, root_denom) = (numer.sqrt(), denom.sqrt());
        if &(&root_numer * &root_numer) == numer && &(&root_denom * &root_denom) == denom {
            return Self::new(BigRational::new(root_numer, root_denom), self.exact);
        }
        // sqrt(n/d) = sqrt(n * 100^k / d) / 10^k, with k such that enough digits stand before the point. A bit is
        // 0.302 digits, and the root has half of them.
        let missing_bits = denom.bits().saturating_sub(numer.bits());
        let k = DIGITS + 5 + missing_bits * 302 / 2_000;
        let scale = BigInt::from(10u8).pow(k);
        let root = (numer * &scale * &scale / denom).sqrt();
        Self::new(BigRational::new(root, scale), false)
    }

    /// To this many digits after the point (before it, when negative), halves away from zero.
    pub(crate) fn round(&self, digits: i64) -> Result<Self, Failure> {
        if digits.unsigned_abs() > MAX_DIGITS {
            return Err(Failure::invalid(format!("the digits of round: between -{MAX_DIGITS} and {MAX_DIGITS}")));
        }
        Self::new((&self.value * power_of_ten(digits)).round() * power_of_ten(-digits), self.exact)
    }

    /// As a whole number; `what` names it when it is none.
    pub(crate) fn to_whole(&self, what: &str) -> Result<i64, Failure> {
        if !self.value.is_integer() {
            return Err(Failure::invalid(format!(
                "{} is no whole number, as it must be for {what}",
                self.to_decimal().0
            )));
        }
        self.value.to_i64().ok_or_else(too_large)
    }

    /// As a decimal, and whether these are all of its digits.
    pub(crate) fn to_decimal(&self) -> (String, bool) {
        match ending_digits(self.value.denom()) {
            Some(decimals) if self.exact => (decimal(&self.value, decimals), true),
            _ => {
                let magnitude = magnitude(&self.value);
                let decimals = (DIGITS as i64 - magnitude).max(0).unsigned_abs();
                (decimal(&self.value, decimals), false)
            }
        }
    }

    fn new(value: BigRational, exact: bool) -> Result<Self, Failure> {
        if value.numer().bits() > MAX_BITS || value.denom().bits() > MAX_BITS {
            return Err(too_large());
        }
        Ok(Self { value, exact })
    }
}

/// The failure of a number that has outgrown the limit.
pub(crate) fn too_large() -> Failure {
    format!("a number has more than {MAX_DIGITS} digits").into()
}

/// How many digits after the point the fractions with this denominator have, if they end: it is 2^a * 5^b.
fn ending_digits(denom: &BigInt) -> Option<u64> {
    let twos = denom.trailing_zeros().unwrap_or(0);
    let mut rest = denom >> twos;
    let five = BigInt::from(5u8);
    let mut fives = 0;
    while !rest.is_one() {
        let (quotient, remainder) = rest.div_rem(&five);
        if !remainder.is_zero() {
            return None;
        }
        rest = quotient;
        fives += 1;
    }
    Some(twos.max(fives))
}

/// The digits before the point; zero or less when there are zeros right after it.
fn magnitude(value: &BigRational) -> i64 {
    let digits = |n: &BigInt| n.magnitude().to_string().len() as i64;
    let whole = value.trunc().to_integer();
    if !whole.is_zero() {
        return digits(&whole);
    }
    match value.is_zero() {
        true => 1,
        // Between the two, off by at most one digit, which only adds a digit to the result.
        false => digits(value.numer()) - digits(value.denom()),
    }
}

/// Written with so many digits after the point, less the zeros at the end.
fn decimal(value: &BigRational, decimals: u64) -> String {
    let scaled = (value * power_of_ten(decimals as i64)).round().to_integer();
    let width = decimals as usize + 1;
    let digits = format!("{:0>width$}", scaled.magnitude().to_string());
    let (whole, fraction) = digits.split_at(digits.len() - decimals as usize);
    let fraction = fraction.trim_end_matches('0');
    let sign = if scaled.is_negative() { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

fn power_of_ten(exponent: i64) -> BigRational {
    let power = BigRational::from(BigInt::from(10u8).pow(exponent.unsigned_abs()));
    if exponent < 0 { power.recip() } else { power }
}
