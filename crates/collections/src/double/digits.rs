//! The decimal digits of a number.
//!
//! Redis and Valkey take them from Grisu2 (Florian Loitsch, "Printing Floating-Point Numbers
//! Quickly and Accurately with Integers", 2010), whose digits always read back as the same number,
//! and in one case of a thousand are not the shortest. Since programs compare texts, the digits
//! here come from the same method with the same powers of ten.

/// An exact number of up to 64 bits: `mantissa` · 2^`exponent`.
#[derive(Clone, Copy)]
struct Wide {
    mantissa: u64,
    exponent: i32,
}

/// The explicit and the implicit bits of a number's mantissa.
const HIDDEN_BIT: u64 = 1 << 52;
const EXPONENT_BIAS: i32 = 1023 + 52;

/// The powers of ten from 10^-348 on in steps of 10^8: mantissas of 64 bits, rounded to the
/// nearest.
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
/// A product with a power must have its point this many bits from the right.
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
pub(super) struct Decimal {
    pub(super) digits: [u8; 18],
    pub(super) len: usize,
    pub(super) power: i32,
}

impl Decimal {
    /// The digits of a number that is neither zero, infinite nor NaN; its sign does not count.
    pub(super) fn of(number: f64) -> Decimal {
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
