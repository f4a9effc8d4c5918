//! `FIELDS numfields field ...`, as the commands about single fields' expiry have it.

use crate::arguments::integer;
use crate::commands::string::expiry_options::TimeForm;
use crate::{Args, Fail};
use tessera_slot::Millis;

/// The fields that a command names, or pairs of fields and values.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    args: Args<'a>,
    step: usize,
}

impl<'a> Fields<'a> {
    /// The fields whose number is argument `at`.
    pub(super) fn at(args: Args<'a>, at: usize) -> Result<Fields<'a>, Fail> {
        Fields::of(args, at, 1)
    }

    /// The pairs of fields and values whose number is argument `at`.
    pub(super) fn pairs_at(args: Args<'a>, at: usize) -> Result<Fields<'a>, Fail> {
        Fields::of(args, at, 2)
    }

    fn of(args: Args<'a>, at: usize, step: usize) -> Result<Fields<'a>, Fail> {
        let count = args.get(at).ok_or_else(mismatch).and_then(integer)?;
        let args = args.tail(at + 1);
        let fits = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(step))
            .is_some_and(|count| count > 0 && count == args.len());
        if fits { Ok(Fields { args, step }) } else { Err(mismatch()) }
    }

    /// How many there are.
    pub(super) fn len(self) -> usize {
        self.args.len() / self.step
    }

    /// The fields.
    pub(super) fn iter(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.args.from(0).step_by(self.step)
    }

    /// Fields and values by turns.
    pub(super) fn texts(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.args.from(0)
    }

    /// The fields with their values.
    pub(super) fn pairs(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone {
        self.iter().zip(self.args.from(1).step_by(self.step))
    }
}

fn mismatch() -> Fail {
    Fail::text("ERR numfields should be greater than 0 and match the provided number of fields")
}

/// The position of the word FIELDS, from argument `from` on. Options stand before it.
pub(super) fn fields_word(args: Args<'_>, from: usize) -> Result<usize, Fail> {
    (from..args.len().saturating_sub(1)).find(|&at| args.is(at, "fields")).ok_or_else(mismatch)
}

/// The moment that `arg` means. Zero and what has passed are allowed, and expire a field at once.
pub(super) fn moment(
    form: TimeForm,
    arg: &[u8],
    now: Millis,
    command: &'static str,
) -> Result<Millis, Fail> {
    let number = integer(arg)?;
    let at = if number < 0 { None } else { form.at(number, now) };
    at.ok_or(Fail::InvalidExpire(command))
}
