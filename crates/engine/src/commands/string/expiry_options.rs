//! EX, PX, EXAT and PXAT, which several commands share.

use crate::commands::integer;
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
    pub(crate) fn of(args: Args<'_>, at: usize) -> Option<TimeForm> {
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

    /// The moment `number` units from the origin, if it is one that can be stored.
    pub(crate) fn at(self, number: i64, now: Millis) -> Option<Millis> {
        let ms = match self {
            TimeForm::Ex | TimeForm::ExAt => number.checked_mul(1000)?,
            TimeForm::Px | TimeForm::PxAt => number,
        };
        let absolute = match self {
            TimeForm::Ex | TimeForm::Px => ms.checked_add(i64::try_from(now.0).ok()?)?,
            TimeForm::ExAt | TimeForm::PxAt => ms,
        };
        u64::try_from(absolute).ok().map(Millis)
    }
}
