//! Floating point numbers as text, digit for digit as Redis and Valkey write them.
//!
//! Both take their digits from Grisu2 (Florian Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with Integers",
//! 2010), whose digits always read back as the same number, and in one case of a thousand are not the shortest. Since programs compare
//! texts, the digits here come from the same method with the same powers of ten.

/// Room for the text of a number.
#[derive(Default)]
pub struct DoubleText([u8; DoubleText::ROOM]);

/// An exact number of up to 64 bits: `mantissa` · 2^`exponent`.
#[derive(Clone, Copy)]
struct Wide {
    mantissa: u64,
    exponent: i32,
}

/// The explicit and the implicit bits of a number's mantissa.
const HIDDEN_BIT: u64 = 1 << 52;
const EXPONENT_BIAS: i32 = 1023 + 52;

/// The powers of ten from 10^-348 on in steps of 10^8: mantissas of 64 bits, rounded to the nearest.
const POWERS: [u64; 87] = [
    0xFA8F_D5A0_081C_0288,
    0xBAAE_E17F_A23E_BF76,
    0x8B16_FB20_3055_AC76,
    0xCF42_894A_5DCE_35EA,
    0x9A6B_B0AA_5565_3B2D,
    0xE61A_CF03_3D1A_45DF,
    0xAB70_FE17_C79A_C6CA,
    0xFF77_B1FC_BEBC_DC4F,
    0xBE56_91EF_416B_D60C,
    0x8DD0_1FAD_907F_FC3C,
    0xD351_5C28_3155_9A83,
    0x9D71_AC8F_ADA6_C9B5,
    0xEA9C_2277_23EE_8BCB,
    0xAECC_4991_4078_536D,
    0x823C_1279_5DB6_CE57,
    0xC210_9436_4DFB_5637,
    0x9096_EA6F_3848_984F,
    0xD774_85CB_2582_3AC7,
    0xA086_CFCD_97BF_97F4,
    0xEF34_0A98_172A_ACE5,
    0xB238_67FB_2A35_B28E,
    0x84C8_D4DF_D2C6_3F3B,
    0xC5DD_4427_1AD3_CDBA,
    0x936B_9FCE_BB25_C996,
    0xDBAC_6C24_7D62_A584,
    0xA3AB_6658_0D5F_DAF6,
    0xF3E2_F893_DEC3_F126,
    0xB5B5_ADA8_AAFF_80B8,
    0x8762_5F05_6C7C_4A8B,
    0xC9BC_FF60_34C1_3053,
    0x964E_858C_91BA_2655,
    0xDFF9_7724_7029_7EBD,
    0xA6DF_BD9F_B8E5_B88F,
    0xF8A9_5FCF_8874_7D94,
    0xB944_7093_8FA8_9BCF,
    0x8A08_F0F8_BF0F_156B,
    0xCDB0_2555_6531_31B6,
    0x993F_E2C6_D07B_7FAC,
    0xE45C_10C4_2A2B_3B06,
    0xAA24_2499_6973_92D3,
    0xFD87_B5F2_8300_CA0E,
    0xBCE5_0864_9211_1AEB,
    0x8CBC_CC09_6F50_88CC,
    0xD1B7_1758_E219_652C,
    0x9C40_0000_0000_0000,
    0xE8D4_A510_0000_0000,
    0xAD78_EBC5_AC62_0000,
    0x813F_3978_F894_0984,
    0xC097_CE7B_C907_15B3,
    0x8F7E_32CE_7BEA_5C70,
    0xD5D2_38A4_ABE9_8068,
    0x9F4F_2726_179A_2245,
    0xED63_A231_D4C4_FB27,
    0xB0DE_6538_8CC8_ADA8,
    0x83C7_088E_1AAB_65DB,
    0xC45D_1DF9_4271_1D9A,
    0x924D_692C_A61B_E758,
    0xDA01_EE64_1A70_8DEA,
    0xA26D_A399_9AEF_774A,
    0xF209_787B_B47D_6B85,
    0xB454_E4A1_79DD_1877,
    0x865B_8692_5B9B_C5C2,
    0xC835_53C5_C896_5D3D,
    0x952A_B45C_FA97_A0B3,
    0xDE46_9FBD_99A0_5FE3,
    0xA59B_C234_DB39_8C25,
    0xF6C6_9A72_A398_9F5C,
    0xB7DC_BF53_54E9_BECE,
    0x88FC_F317_F222_41E2,
    0xCC20_CE9B_D35C_78A5,
    0x9816_5AF3_7B21_53DF,
    0xE2A0_B5DC_971F_303A,
    0xA8D9_D153_5CE3_B396,
    0xFB9B_7CD9_A4A7_443C,
    0xBB76_4C4C_A7A4_4410,
    0x8BAB_8EEF_B640_9C1A,
    0xD01F_EF10_A657_842C,
    0x9B10_A4E5_E991_3129,
    0xE710_9BFB_A19C_0C9D,
    0xAC28_20D9_623B_F429,
    0x8044_4B5E_7AA7_CF85,
    0xBF21_E440_03AC_DD2D,
    0x8E67_9C2F_5E44_FF8F,
    0xD433_179D_9C8C_B841,
    0x9E19_DB92_B4E3_1BA9,
    0xEB96_BF6E_BADF_77D9,
    0xAF87_023B_9BF0_EE6B,
];
const FIRST_POWER: i32 = -348;
const POWER_STEP: i32 = 8;
/// A product with a power must have its point so many bits from the right.
const POINT: std::ops::RangeInclusive<i32> = -60..=-32;

impl Wide {
    fn of(number: f64) -> Wide {
        let bits = number.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & (HIDDEN_BIT - 1));
        match exponent {
            0 => Wide { mantissa: fraction, exponent: 1 - EXPONENT_BIAS },
            _ => Wide { mantissa: fraction | HIDDEN_BIT, exponent: exponent - EXPONENT_BIAS },
        }
    }

    /// The same number with the highest bit set.
    fn normal(self) -> Wide {
        let shift = self.mantissa.leading_zeros();
        Wide { mantissa: self.mantissa << shift, exponent: self.exponent - shift as i32 }
    }

    /// The product, rounded.
    fn times(self, other: Wide) -> Wide {
        let product = u128::from(self.mantissa) * u128::from(other.mantissa);
        Wide {
            mantissa: ((product + (1 << 63)) >> 64) as u64,
            exponent: self.exponent + other.exponent + 64,
        }
    }

    /// The points half way to the neighbours, with one exponent: below and above.
    fn bounds(self) -> (Wide, Wide) {
        let above =
            Wide { mantissa: (self.mantissa << 1) + 1, exponent: self.exponent - 1 }.normal();
        // The neighbour below a power of two is only half as far.
        let shift = if self.mantissa == HIDDEN_BIT { 2 } else { 1 };
        let (mantissa, exponent) = ((self.mantissa << shift) - 1, self.exponent - shift);
        let below =
            Wide { mantissa: mantissa << (exponent - above.exponent), exponent: above.exponent };
        (below, above)
    }
}

/// A power of ten that brings numbers with this exponent to [`POINT`], and its power.
fn power_for(exponent: i32) -> (Wide, i32) {
    let estimate =
        (f64::from(-(exponent + POWERS.len() as i32)) * std::f64::consts::LOG10_2) as i32;
    let mut index = (estimate - FIRST_POWER) / POWER_STEP;
    loop {
        let power = FIRST_POWER + index * POWER_STEP;
        // floor(power · log2(10)), exact for all powers here.
        let of_power = ((power * 1_741_647) >> 19) - 63;
        let point = exponent + of_power + 64;
        if point < *POINT.start() {
            index += 1;
        } else if point > *POINT.end() {
            index -= 1;
        } else {
            return (Wide { mantissa: POWERS[index as usize], exponent: of_power }, power);
        }
    }
}

/// Decimal digits, and the power of ten of the last one.
struct Decimal {
    digits: [u8; 18],
    len: usize,
    power: i32,
}

impl Decimal {
    /// The digits of a number that is neither zero, infinite nor NaN; its sign does not count.
    fn of(number: f64) -> Decimal {
        let wide = Wide::of(number);
        let (below, above) = wide.bounds();
        let (ten, power) = power_for(above.exponent);
        let (mut below, mut above) = (below.times(ten), above.times(ten));
        below.mantissa += 1;
        above.mantissa -= 1;
        let mut decimal = Decimal { digits: [0; 18], len: 0, power: -power };
        decimal.generate(wide.normal().times(ten).mantissa, below.mantissa, above);
        decimal
    }

    fn push(&mut self, digit: u64) {
        if digit > 0 || self.len > 0 {
            self.digits[self.len] = b'0' + digit as u8;
            self.len += 1;
        }
    }

    /// As few digits of `above` as lead below it by less than the distance to `below`.
    fn generate(&mut self, exact: u64, below: u64, above: Wide) {
        let shift = -above.exponent;
        let one = 1u64 << shift;
        let (mut distance, to_exact) = (above.mantissa - below, above.mantissa - exact);
        let (mut whole, mut fraction) = (above.mantissa >> shift, above.mantissa & (one - 1));
        for left in (0..10).rev() {
            let unit = 10u64.pow(left);
            self.push(whole / unit);
            whole %= unit;
            let rest = (whole << shift) + fraction;
            if rest <= distance {
                self.power += left as i32;
                self.approach(distance, rest, unit << shift, to_exact);
                return;
            }
        }
        let mut scale = 1u64;
        loop {
            (fraction, distance, scale) =
                (fraction.wrapping_mul(10), distance.wrapping_mul(10), scale.wrapping_mul(10));
            self.power -= 1;
            self.push(fraction >> shift);
            fraction &= one - 1;
            if fraction < distance {
                self.approach(distance, fraction, one, to_exact.wrapping_mul(scale));
                return;
            }
        }
    }

    /// Lowers the last digit as long as that comes closer to the exact number.
    fn approach(&mut self, distance: u64, mut rest: u64, unit: u64, exact: u64) {
        while rest < exact
            && distance - rest >= unit
            && (rest.wrapping_add(unit) < exact
                || exact - rest > rest.wrapping_add(unit).wrapping_sub(exact))
        {
            self.digits[self.len - 1] -= 1;
            rest = rest.wrapping_add(unit);
        }
    }
}

/// Bytes written into a text.
struct Writer<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.out[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn zeros(&mut self, count: usize) {
        self.out[self.len..self.len + count].fill(b'0');
        self.len += count;
    }
}

impl DoubleText {
    /// 17 digits, a sign, a point and leading zeros, or an exponent.
    const ROOM: usize = 32;

    /// The text of a number: `1`, `0.1`, `1e-8`, `inf`, `-0`.
    pub fn format(&mut self, number: f64) -> &str {
        let mut writer = Writer { out: &mut self.0, len: 0 };
        match number {
            _ if number.is_nan() => writer.put(b"nan"),
            f64::INFINITY => writer.put(b"inf"),
            f64::NEG_INFINITY => writer.put(b"-inf"),
            _ if number == 0.0 && number.is_sign_negative() => writer.put(b"-0"),
            _ => match whole(number) {
                Some(whole) => writer.put(crate::Digits::default().format(whole)),
                None => lay_out(&mut writer, number),
            },
        }
        let len = writer.len;
        std::str::from_utf8(&self.0[..len]).expect("digits, signs and letters")
    }
}

/// What `printf` writes for `%.17g`: every digit that a number has, as ZSCAN shows the scores of large sets.
pub fn all_digits(number: f64) -> String {
    const DIGITS: i32 = 17;
    if number == 0.0 || !number.is_finite() {
        return DoubleText::default().format(number).to_owned();
    }
    let scientific = format!("{number:.*e}", DIGITS as usize - 1);
    let (digits, exponent) = scientific.split_once('e').expect("it was asked for");
    let exponent: i32 = exponent.parse().expect("a small number");
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..DIGITS).contains(&exponent) {
        return trimmed(&format!("{number:.*}", (DIGITS - 1 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
}

/// The integer that a number is, if it is one and far from the ends of 64 bits. Both zeros are 0.
pub fn whole(number: f64) -> Option<i64> {
    const FAR: f64 = (i64::MAX / 2) as f64;
    let integer = number as i64;
    ((-FAR..=FAR).contains(&number) && integer as f64 == number).then_some(integer)
}

fn lay_out(writer: &mut Writer<'_>, number: f64) {
    let decimal = Decimal::of(number);
    let negative = number.is_sign_negative();
    if negative {
        writer.put(b"-");
    }
    let (digits, len, power) = (&decimal.digits[..decimal.len], decimal.len, decimal.power);
    let exponent = power + len as i32 - 1;
    if power >= 0 && (exponent.unsigned_abs() as usize) < len + 7 {
        writer.put(digits);
        writer.zeros(power as usize);
    } else if power < 0 && (power > -7 || exponent.abs() < 4) {
        let behind = power.unsigned_abs() as usize;
        if behind >= len {
            writer.put(b"0.");
            writer.zeros(behind - len);
            writer.put(digits);
        } else {
            writer.put(&digits[..len - behind]);
            writer.put(b".");
            writer.put(&digits[len - behind..]);
        }
    } else {
        writer.put(&digits[..1]);
        let rest = &digits[1..len.min(18 - usize::from(negative))];
        if !rest.is_empty() {
            writer.put(b".");
            writer.put(rest);
        }
        writer.put(if exponent < 0 { b"e-" } else { b"e+" });
        writer.put(crate::Digits::default().format(i64::from(exponent.abs())));
    }
}

/// Reads a number as C's `strtod` does, without spaces around it: decimal, hexadecimal or `inf`. Neither NaN nor what is too
/// large, or too small to differ from zero, is one.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    match lenient_double(text)? {
        Parsed { number, exact: true } => Some(number),
        _ => None,
    }
}

/// As [`parse_double`], but what is too large is infinite, and what is too small is zero.
pub fn parse_double_lossy(text: &[u8]) -> Option<f64> {
    lenient_double(text).map(|parsed| parsed.number)
}

struct Parsed {
    number: f64,
    /// Neither overflow nor underflow.
    exact: bool,
}

fn lenient_double(text: &[u8]) -> Option<Parsed> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (size, is_zero) = match unsigned {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits)?,
        // The sign has been read.
        [b'+' | b'-', ..] => return None,
        _ => {
            let text = std::str::from_utf8(unsigned).ok()?;
            let end = text.find(['e', 'E']).unwrap_or(text.len());
            let is_zero = !text[..end].bytes().any(|byte| matches!(byte, b'1'..=b'9'));
            (text.parse().ok()?, is_zero)
        }
    };
    if f64::is_nan(size) {
        return None;
    }
    let named = unsigned.first().is_some_and(u8::is_ascii_alphabetic);
    let exact = named || size.is_finite() && (size != 0.0 || is_zero);
    Some(Parsed { number: if negative { -size } else { size }, exact })
}

/// A hexadecimal number behind its `0x`, and whether all its digits are zeros.
fn hexadecimal(text: &[u8]) -> Option<(f64, bool)> {
    /// Mantissas beyond this get no further digits: what follows only tells that there was more.
    const FULL: u64 = 1 << 59;
    let (mut mantissa, mut exponent, mut digits, mut seen_point) = (0u64, 0i64, 0, false);
    let mut at = 0;
    while at < text.len() {
        match (text[at], char::from(text[at]).to_digit(16)) {
            (b'.', _) if !seen_point => seen_point = true,
            (_, Some(digit)) => {
                digits += 1;
                if mantissa < FULL {
                    mantissa = mantissa << 4 | u64::from(digit);
                    exponent -= i64::from(seen_point) * 4;
                } else {
                    mantissa |= u64::from(digit > 0);
                    exponent += i64::from(!seen_point) * 4;
                }
            }
            _ => break,
        }
        at += 1;
    }
    if digits == 0 {
        return None;
    }
    match &text[at..] {
        [] => {}
        [b'p' | b'P', power @ ..] => {
            let power = power.strip_prefix(b"+").unwrap_or(power);
            let power: i64 = std::str::from_utf8(power).ok()?.parse().ok()?;
            exponent = exponent.saturating_add(power);
        }
        _ => return None,
    }
    // In two steps, since neither of the ends of the format is a power of two that can be written as a factor.
    let exponent = exponent.clamp(-4000, 4000) as i32;
    let (half, rest) = (exponent / 2, exponent - exponent / 2);
    let number = mantissa as f64 * 2f64.powi(half) * 2f64.powi(rest);
    Some((number, mantissa == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_those_of_valkey() {
        for (number, text) in [
            (0.1, "0.1"),
            (1.5, "1.5"),
            (-0.1, "-0.1"),
            (1e-08, "1e-8"),
            (1.1e-07, "1.1e-7"),
            (123456.789, "123456.789"),
            (3.141592653589793, "3.141592653589793"),
            (1e+21, "1e+21"),
            (1e+20, "1e+20"),
            (1.5e+300, "1.5e+300"),
            (5e-324, "5e-324"),
            (2.2250738585072014e-308, "2.2250738585072014e-308"),
            (1.7976931348623157e+308, "1.7976931348623157e+308"),
            (-1.2345e-05, "-1.2345e-5"),
            (0.0001, "0.0001"),
            (0.00012345678, "1.2345678e-4"),
            (9007199254740994.0, "9007199254740994"),
            (4500000000000000.5, "4500000000000000.5"),
            (1.9531521594525147e+19, "19531521594525147000"),
            (0.3, "0.3"),
            (0.30000000000000004, "0.30000000000000004"),
            (100.25, "100.25"),
            (-3.0000000000000004, "-3.0000000000000004"),
            (1e+19, "1e+19"),
            (1.2345678901234568e+20, "123456789012345680000"),
            (-1.2345678901234568e-300, "-1.2345678901234568e-300"),
            (3.481616345211129e+68, "3.4816163452111288e+68"),
            (3.502271575057477e-223, "3.5022715750574766e-223"),
            (1.260065168523942e-258, "1.2600651685239421e-258"),
            (4.04925338542625e+16, "40492533854262496"),
            (f64::INFINITY, "inf"),
            (-0.0, "-0"),
            (0.0, "0"),
            (-5.0, "-5"),
            (4611686018427387904.0, "4611686018427387904"),
        ] {
            assert_eq!(DoubleText::default().format(number), text);
        }
    }

    #[test]
    fn all_digits_are_those_of_printf() {
        for (number, text) in [
            (0.1, "0.10000000000000001"),
            (6.86607711329513, "6.8660771132951304"),
            (-9.90255403280477e178, "-9.9025540328047704e+178"),
            (5.8722897334724026e19, "5.8722897334724026e+19"),
            (4.5e-320, "4.4999499023220735e-320"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (-3.0, "-3"),
            (-0.0, "-0"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(all_digits(number), text);
        }
    }

    proptest! {
        #[test]
        fn a_text_reads_back_as_the_same_number(bits: u64) {
            let number = f64::from_bits(bits);
            let mut buffer = DoubleText::default();
            let text = buffer.format(number);
            match parse_double(text.as_bytes()) {
                Some(back) => prop_assert_eq!(back.to_bits(), bits, "{}", text),
                None => prop_assert!(number.is_nan()),
            }
        }
    }

    #[test]
    fn numbers_are_read_as_strictly_as_by_strtod() {
        for (text, number) in [
            ("1", 1.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("-Inf", f64::NEG_INFINITY),
            ("+infinity", f64::INFINITY),
            ("0x10", 16.0),
            ("-0x1.8p1", -3.0),
            ("0x.8", 0.5),
            ("0e99999", 0.0),
            ("1e-310", 1e-310),
        ] {
            assert_eq!(parse_double(text.as_bytes()), Some(number), "{text}");
        }
        for text in [
            "", "-", " 1", "1 ", "nan", "+-1", "--1", "1e", "0x", "0xp1", "0x1p", "1e400",
            "1e-400", "a", "1\0",
        ] {
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_double_lossy(b"-1e400"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_double_lossy(b"1e-400"), Some(0.0));
    }
}
