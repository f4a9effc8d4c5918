//! The kinds of values: how each is read, checked and printed.

use std::ops::RangeInclusive;

use crate::args::quote;

/// Why a value was refused, in Redis' words.
pub type Refused = String;

/// The values that a directive accepts. The table gives one to each directive; readers of values
/// look up their limits here.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Flag,
    /// A decimal integer within limits, both included.
    Integer(i64, i64),
    /// An octal number within limits, both included: file permissions.
    Octal(u32, u32),
    /// Bytes, with a unit or without, within limits, both included.
    Memory(u64, u64),
    /// Bytes, or a percentage of `maxmemory` up to this number.
    MemoryOrPercent(u8),
    /// One word of a closed list, in any case.
    Choice(&'static [&'static str]),
    /// Several words of a closed list.
    Choices(&'static [&'static str]),
    /// A text that satisfies a check.
    Text(fn(&str) -> Result<(), Refused>),
    /// A password: any bytes.
    Secret,
    /// Several arguments, in a form of its own (module `special`).
    List,
    /// One argument, in a form of its own (module `special`).
    Special,
}

impl Kind {
    /// Whether a line may carry several arguments for it.
    pub(crate) fn takes_list(self) -> bool {
        matches!(self, Kind::List | Kind::Choices(_))
    }
}

/// A type of field: how it is read from arguments and printed.
pub trait Setting: Clone + PartialEq {
    /// Reads the arguments of a directive. `previous` is the present value, which a few directives
    /// amend instead of replacing it.
    fn parse(previous: &Self, args: &[Vec<u8>], kind: &Kind) -> Result<Self, Refused>;

    /// The value as CONFIG GET prints it.
    fn show(&self) -> Vec<u8>;

    /// The text behind the directive's name in a file; more than one element for directives that
    /// take a line for each part.
    fn lines(&self) -> Vec<Vec<u8>> {
        vec![self.show()]
    }
}

/// The only argument of a directive.
pub(crate) fn single(args: &[Vec<u8>]) -> Result<&[u8], Refused> {
    match args {
        [value] => Ok(value),
        _ => Err("wrong number of arguments".to_owned()),
    }
}

/// A strict decimal integer: no sign but a minus, no leading zeros, no blanks.
pub(crate) fn strict_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let well_formed = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    well_formed.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// Bytes with an optional unit: `b`, `k` = 1000, `kb` = 1024, `m`, `mb`, `g`, `gb`, in any case.
///
/// No digits at all mean zero, as in Redis (`maxmemory ""` removes the limit).
pub(crate) fn memory(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1000 * 1000,
        b"mb" => 1 << 20,
        b"g" => 1000 * 1000 * 1000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    if number.is_empty() {
        return Some(0);
    }
    std::str::from_utf8(number).ok()?.parse::<u64>().ok()?.checked_mul(factor)
}

/// Bytes in the largest unit that divides them: how a file spells them.
pub(crate) fn memory_with_unit(bytes: u64) -> String {
    for (size, unit) in [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes != 0 && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

fn out_of_range(low: impl std::fmt::Display, high: impl std::fmt::Display) -> Refused {
    format!("argument must be between {low} and {high} inclusive")
}

impl Setting for bool {
    fn parse(_: &Self, args: &[Vec<u8>], _: &Kind) -> Result<Self, Refused> {
        match single(args)?.to_ascii_lowercase().as_slice() {
            b"yes" => Ok(true),
            b"no" => Ok(false),
            _ => Err("argument must be 'yes' or 'no'".to_owned()),
        }
    }

    fn show(&self) -> Vec<u8> {
        if *self { b"yes".to_vec() } else { b"no".to_vec() }
    }
}

macro_rules! integers {
    ($($number:ty)*) => {$(
        impl Setting for $number {
            fn parse(_: &Self, args: &[Vec<u8>], kind: &Kind) -> Result<Self, Refused> {
                let (low, high) = match kind {
                    Kind::Integer(low, high) => (*low, *high),
                    _ => (i64::MIN, i64::MAX),
                };
                let number = strict_integer(single(args)?)
                    .ok_or_else(|| "argument couldn't be parsed into an integer".to_owned())?;
                if !(low..=high).contains(&number) {
                    return Err(out_of_range(low, high));
                }
                <$number>::try_from(number).map_err(|_| out_of_range(low, high))
            }

            fn show(&self) -> Vec<u8> {
                self.to_string().into_bytes()
            }
        }
    )*};
}
integers!(u8 u16 u32 u64 i32 i64);

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// This many mebibytes.
    pub(crate) const fn mib(count: u64) -> Bytes {
        Bytes(count << 20)
    }

    /// The number, saturated to what memory can address.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

fn memory_range(kind: &Kind) -> RangeInclusive<u64> {
    match kind {
        Kind::Memory(low, high) => *low..=*high,
        _ => 0..=u64::MAX,
    }
}

impl Setting for Bytes {
    fn parse(_: &Self, args: &[Vec<u8>], kind: &Kind) -> Result<Self, Refused> {
        let bytes =
            memory(single(args)?).ok_or_else(|| "argument must be a memory value".to_owned())?;
        let range = memory_range(kind);
        if !range.contains(&bytes) {
            return Err(out_of_range(range.start(), range.end()));
        }
        Ok(Bytes(bytes))
    }

    fn show(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        vec![memory_with_unit(self.0).into_bytes()]
    }
}

/// A limit in bytes or as a part of `maxmemory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BytesOrPercent {
    /// This many bytes; 0 means no limit.
    Bytes(Bytes),
    /// This many hundredths of `maxmemory`.
    Percent(u8),
}

impl Setting for BytesOrPercent {
    fn parse(_: &Self, args: &[Vec<u8>], kind: &Kind) -> Result<Self, Refused> {
        let text = single(args)?;
        if let Some(bytes) = memory(text) {
            let high = i64::MAX as u64;
            return if bytes <= high {
                Ok(BytesOrPercent::Bytes(Bytes(bytes)))
            } else {
                Err(out_of_range(0, high))
            };
        }
        let percent = text
            .strip_suffix(b"%")
            .and_then(strict_integer)
            .filter(|percent| *percent >= 0)
            .ok_or_else(|| "argument must be a memory or percent value".to_owned())?;
        let limit = match kind {
            Kind::MemoryOrPercent(limit) => *limit,
            _ => 100,
        };
        match u8::try_from(percent) {
            // Nothing of maxmemory is no limit at all, as in Redis.
            Ok(0) => Ok(BytesOrPercent::Bytes(Bytes(0))),
            Ok(percent) if percent <= limit => Ok(BytesOrPercent::Percent(percent)),
            _ => Err(format!("percentage argument must be less or equal to {limit}")),
        }
    }

    fn show(&self) -> Vec<u8> {
        match self {
            BytesOrPercent::Bytes(bytes) => bytes.show(),
            BytesOrPercent::Percent(percent) => format!("{percent}%").into_bytes(),
        }
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        match self {
            BytesOrPercent::Bytes(bytes) => bytes.lines(),
            BytesOrPercent::Percent(_) => vec![self.show()],
        }
    }
}

/// Permissions of a file, written in octal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl Setting for FileMode {
    fn parse(_: &Self, args: &[Vec<u8>], kind: &Kind) -> Result<Self, Refused> {
        let (low, high) = match kind {
            Kind::Octal(low, high) => (*low, *high),
            _ => (0, 0o777),
        };
        let mode = std::str::from_utf8(single(args)?)
            .ok()
            .and_then(|text| i64::from_str_radix(text, 8).ok())
            .ok_or_else(|| "argument couldn't be parsed as an octal number".to_owned())?;
        match u32::try_from(mode) {
            Ok(mode) if (low..=high).contains(&mode) => Ok(FileMode(mode)),
            _ => Err(format!("argument must be between {low:o} and {high:o} inclusive")),
        }
    }

    fn show(&self) -> Vec<u8> {
        format!("{:o}", self.0).into_bytes()
    }
}

impl Setting for String {
    fn parse(_: &Self, args: &[Vec<u8>], kind: &Kind) -> Result<Self, Refused> {
        let text = std::str::from_utf8(single(args)?)
            .map_err(|_| "argument is not valid UTF-8".to_owned())?;
        if let Kind::Text(check) = kind {
            check(text)?;
        }
        Ok(text.to_owned())
    }

    fn show(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        vec![quote(self.as_bytes())]
    }
}

/// A password, or none. Printing it for debugging does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The password, or `None` when none is set.
    pub fn reveal(&self) -> Option<&[u8]> {
        (!self.0.is_empty()).then_some(self.0.as_slice())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(none)" } else { "Secret(set)" })
    }
}

impl Setting for Secret {
    fn parse(_: &Self, args: &[Vec<u8>], _: &Kind) -> Result<Self, Refused> {
        Ok(Secret(single(args)?.to_vec()))
    }

    fn show(&self) -> Vec<u8> {
        self.0.clone()
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        vec![quote(&self.0)]
    }
}

/// Declares a closed list of words as an enum: each variant with its word first, then other words
/// that mean the same.
macro_rules! choices {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $word:literal $(| $other:literal)*,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }

        impl $name {
            /// The words that a configuration may use.
            pub const WORDS: &'static [&'static str] = &[$($word, $($other,)*)*];

            /// The word for this choice.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl $crate::value::Setting for $name {
            fn parse(
                _: &Self,
                args: &[Vec<u8>],
                _: &$crate::value::Kind,
            ) -> Result<Self, $crate::value::Refused> {
                let refused = || $crate::value::not_a_choice(Self::WORDS);
                let [word] = args else { return Err(refused()) };
                match word.to_ascii_lowercase() {
                    $(word if [$word $(, $other)*].iter().any(|known| known.as_bytes() == word) => {
                        Ok($name::$variant)
                    })*
                    _ => Err(refused()),
                }
            }

            fn show(&self) -> Vec<u8> {
                self.word().as_bytes().to_vec()
            }
        }
    };
}
pub(crate) use choices;

pub(crate) fn not_a_choice(words: &[&str]) -> Refused {
    format!("argument(s) must be one of the following: {}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("1m", Some(1_000_000)),
            ("2mb", Some(2 << 20)),
            ("1G", Some(1_000_000_000)),
            ("1gb", Some(1 << 30)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999gb", None),
            ("-1", None),
            ("1 gb", None),
            ("1tb", None),
            ("1.5gb", None),
        ] {
            assert_eq!(memory(text.as_bytes()), bytes, "{text}");
        }
        assert_eq!(memory_with_unit(3 << 20), "3mb");
        assert_eq!(memory_with_unit(1025), "1025");
        assert_eq!(memory_with_unit(0), "0");
    }

    #[test]
    fn integers_are_strict() {
        assert_eq!(strict_integer(b"-12"), Some(-12));
        assert_eq!(strict_integer(b"0"), Some(0));
        assert_eq!(strict_integer(b"-9223372036854775808"), Some(i64::MIN));
        for text in ["", "-", "-0", "+1", "01", " 1", "1 ", "1x", "9223372036854775808"] {
            assert_eq!(strict_integer(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn percentages_of_memory() {
        let parse = |text: &str| {
            let none = BytesOrPercent::Bytes(Bytes(0));
            BytesOrPercent::parse(&none, &[text.as_bytes().to_vec()], &Kind::MemoryOrPercent(100))
        };
        assert_eq!(parse("5%"), Ok(BytesOrPercent::Percent(5)));
        assert_eq!(parse("1gb"), Ok(BytesOrPercent::Bytes(Bytes(1 << 30))));
        assert_eq!(parse("101%").unwrap_err(), "percentage argument must be less or equal to 100");
        assert_eq!(parse("-5%").unwrap_err(), "argument must be a memory or percent value");
    }

    #[test]
    fn a_secret_is_not_printed_for_debugging() {
        let secret = Secret::parse(&Secret::default(), &[b"hunter2".to_vec()], &Kind::Secret);
        assert_eq!(format!("{secret:?}"), "Ok(Secret(set))");
    }
}
