//! The time-outs of blocking commands.

use crate::Fail;
use crate::arguments::integer;
use tessera_collections::parse_double_lossy;
use tessera_slot::Millis;

/// When a time-out in seconds, which may have a fraction, is over; `None`: never (0).
///
/// # Errors
/// It is no number, negative, or too far.
pub fn deadline_in_seconds(arg: &[u8], now: Millis) -> Result<Option<Millis>, Fail> {
    let Some(seconds) = parse_double_lossy(arg) else {
        return Err(Fail::text("ERR timeout is not a float or out of range"));
    };
    let ms = (seconds * 1000.0).ceil();
    if ms >= i64::MAX as f64 {
        return Err(Fail::text("ERR timeout is out of range"));
    }
    deadline(ms as i64, now)
}

/// As [`deadline_in_seconds`], in whole milliseconds.
///
/// # Errors
/// It is no integer, negative, or too far.
pub(crate) fn deadline_in_ms(arg: &[u8], now: Millis) -> Result<Option<Millis>, Fail> {
    let ms =
        integer(arg).map_err(|_| Fail::text("ERR timeout is not an integer or out of range"))?;
    deadline(ms, now)
}

fn deadline(ms: i64, now: Millis) -> Result<Option<Millis>, Fail> {
    let ms = u64::try_from(ms).map_err(|_| Fail::text("ERR timeout is negative"))?;
    if ms == 0 {
        return Ok(None);
    }
    match now.0.checked_add(ms).filter(|&at| i64::try_from(at).is_ok()) {
        Some(at) => Ok(Some(Millis(at))),
        None => Err(Fail::text("ERR timeout is out of range")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs() {
        let now = Millis(1000);
        for (arg, at) in [
            ("0", Ok(None)),
            ("0.0001", Ok(Some(Millis(1001)))),
            ("1.5", Ok(Some(Millis(2500)))),
            ("-1", Err("ERR timeout is negative")),
            ("x", Err("ERR timeout is not a float or out of range")),
            ("nan", Err("ERR timeout is not a float or out of range")),
            ("", Err("ERR timeout is not a float or out of range")),
            ("0x1", Ok(Some(Millis(2000)))),
            ("0x7FFFFFFFFFFFFF", Err("ERR timeout is out of range")),
            ("1e400", Err("ERR timeout is out of range")),
            ("inf", Err("ERR timeout is out of range")),
            ("9223372036854776", Err("ERR timeout is out of range")),
        ] {
            let at = at.map_err(Fail::text);
            assert_eq!(deadline_in_seconds(arg.as_bytes(), now), at, "{arg}");
        }
        assert_eq!(deadline_in_ms(b"5", now), Ok(Some(Millis(1005))));
        assert!(deadline_in_ms(b"1.5", now).is_err());
    }
}
