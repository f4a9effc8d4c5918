//! EX, PX, EXAT, PXAT, KEEPTTL and PERSIST, which several commands share.

use crate::arguments::integer;
use crate::{Args, Fail};
use tessera_slot::Millis;

/// A unit and an origin of a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TimeForm {
    /// Seconds from now.
    Ex,
    /// Milliseconds from now.
    Px,
    /// Seconds since 1970.
    ExAt,
    /// Milliseconds since 1970.
    PxAt,
}

impl TimeForm {
    /// The form that this argument names, if it does.
    fn of(args: Args<'_>, at: usize) -> Option<TimeForm> {
        [
            ("ex", TimeForm::Ex),
            ("px", TimeForm::Px),
            ("exat", TimeForm::ExAt),
            ("pxat", TimeForm::PxAt),
        ]
        .into_iter()
        .find(|(word, _)| args.is(at, word))
        .map(|(_, form)| form)
    }

    /// The moment that `arg` means, which must lie after 1970.
    ///
    /// # Errors
    /// Not an integer; or zero, negative or too far, which the error says of `command`.
    pub(crate) fn moment(
        self,
        arg: &[u8],
        now: Millis,
        command: &'static str,
    ) -> Result<Millis, Fail> {
        let number = integer(arg)?;
        if number <= 0 {
            return Err(Fail::InvalidExpire(command));
        }
        self.at(number, now).ok_or(Fail::InvalidExpire(command))
    }

    /// The moment `number` units from the origin, if 64 bits hold it. Moments before 1970 are 1970:
    /// both have long passed.
    pub(crate) fn at(self, number: i64, now: Millis) -> Option<Millis> {
        let ms = match self {
            TimeForm::Ex | TimeForm::ExAt => number.checked_mul(1000)?,
            TimeForm::Px | TimeForm::PxAt => number,
        };
        let absolute = match self {
            TimeForm::Ex | TimeForm::Px => ms.checked_add(i64::try_from(now.0).ok()?)?,
            TimeForm::ExAt | TimeForm::PxAt => ms,
        };
        Some(Millis(u64::try_from(absolute).unwrap_or(0)))
    }
}

/// An option about the expiry. Options of different kinds exclude each other; the last one of
/// several of one kind counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ExpiryOption<'a> {
    /// No option.
    Unsaid,
    /// KEEPTTL (of SET), PERSIST (of GETEX).
    Word,
    /// A time, not yet read: an error in it counts only if the rest of the command is well formed.
    Time(TimeForm, &'a [u8]),
}

impl<'a> ExpiryOption<'a> {
    /// Takes the argument at `at`, if it is `word` or a time that agrees with what was said before.
    /// Gives how many arguments it took.
    pub(crate) fn take(&mut self, args: Args<'a>, at: usize, word: &str) -> Option<usize> {
        if args.is(at, word) && matches!(self, ExpiryOption::Unsaid | ExpiryOption::Word) {
            *self = ExpiryOption::Word;
            return Some(1);
        }
        let (form, time) = (TimeForm::of(args, at)?, args.get(at + 1)?);
        match *self {
            ExpiryOption::Unsaid => {}
            ExpiryOption::Time(before, _) if before == form => {}
            _ => return None,
        }
        *self = ExpiryOption::Time(form, time);
        Some(2)
    }

    /// The moment that was said, if one was.
    ///
    /// # Errors
    /// As of [`TimeForm::moment`].
    pub(crate) fn moment(self, now: Millis, command: &'static str) -> Result<Option<Millis>, Fail> {
        match self {
            ExpiryOption::Time(form, time) => form.moment(time, now, command).map(Some),
            _ => Ok(None),
        }
    }
}
