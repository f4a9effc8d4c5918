//! PFDEBUG: registers and encodings, for developers.

use super::{HYPERLOGLOG, WRITE, edit, make_raw, view};
use crate::command::{Command, Flags, KeyUse};
use crate::hll::{Encoding, Hll, HllError, HllMut, Registers, Run, empty};
use crate::{Args, Cx, Db, Done, Fail};
use tessera_store::Found;

pub(super) const PFDEBUG: Command = Command::new("pfdebug", 3, pfdebug)
    .flags(WRITE.or(Flags::ADMIN))
    .keys(2, 2, 1)
    .uses(&[KeyUse::RW_ACCESS])
    .doc(
        HYPERLOGLOG,
        "2.8.9",
        "N/A",
        "Shows registers, runs or encoding of a HyperLogLog, or makes it dense.",
        "subcommand key",
    );
pub(super) const PFSELFTEST: Command =
    Command::new("pfselftest", 1, pfselftest).flags(Flags::ADMIN).doc(
        HYPERLOGLOG,
        "2.8.9",
        "N/A",
        "Tests estimates and both encodings with elements that have not been seen before.",
        "",
    );

fn pfdebug(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let found = db.find(db.key(args.at(2), 0));
    let mut found = found.ok_or(Fail::text("ERR The specified key does not exist"))?;
    let encoding = view(&found.entry(), |hll| Ok(hll.encoding()))?;
    make_raw(&mut found)?;
    if args.is(1, "getreg") {
        make_dense(&mut found, cx)?;
        let registers = view(&found.entry(), registers)?;
        cx.reply.array(registers.ranks().len());
        registers.ranks().iter().for_each(|rank| cx.reply.integer(i64::from(*rank)));
    } else if args.is(1, "decode") {
        if encoding != Encoding::Sparse {
            return Err(Fail::text("ERR HLL encoding is not sparse"));
        }
        let runs = view(&found.entry(), |hll| hll.runs().map(|run| Ok(shown(run?))).collect())?;
        let runs: Vec<String> = runs;
        cx.reply.bulk(runs.join(" ").as_bytes());
    } else if args.is(1, "encoding") {
        cx.reply.simple(match encoding {
            Encoding::Dense => "dense",
            Encoding::Sparse => "sparse",
        });
    } else if args.is(1, "todense") {
        let changed = make_dense(&mut found, cx)?;
        cx.reply.integer(i64::from(changed));
    } else {
        let subcommand = String::from_utf8_lossy(args.at(1));
        return Err(Fail::text(format!("ERR Unknown PFDEBUG subcommand '{subcommand}'")));
    }
    Ok(())
}

fn make_dense(found: &mut Found<'_, '_>, cx: &mut Cx<'_>) -> Result<bool, Fail> {
    let changed = edit(found, |hll| hll.make_dense())?;
    cx.changed(u64::from(changed));
    Ok(changed)
}

fn registers(hll: Hll<'_>) -> Result<Registers, HllError> {
    let mut registers = Registers::new();
    registers.merge(hll)?;
    Ok(registers)
}

fn shown(run: Run) -> String {
    match run {
        Run::Zeros(len) => format!("z:{len}"),
        Run::ManyZeros(len) => format!("Z:{len}"),
        Run::Ranked { rank, len } => format!("v:{rank},{len}"),
    }
}

/// Elements of a self-test: enough for a string to become dense long before.
const TESTED: u64 = 100_000;
/// The standard error of an estimate: 1.04 divided by the square root of the number of registers.
const STANDARD_ERROR: f64 = 1.04 / 128.0;

/// Elements are numbers that no earlier test has had, as far as the clock tells.
fn pfselftest(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    let limit = super::sparse_limit(cx);
    let seed = cx.now.0 << 20;
    let (mut bytes, mut model) = (empty(), Registers::new());
    let mut checkpoint = 1;
    for number in 1..=TESTED {
        let element = (number ^ seed).to_le_bytes();
        model.add(&element);
        HllMut::open(&mut bytes)?.add(&element, limit)?;
        if number == checkpoint {
            check(Hll::open(&bytes)?, &model, number)?;
            checkpoint *= 10;
        }
    }
    cx.reply.ok();
    Ok(())
}

/// Compares a HyperLogLog in its encoding with plain registers, and its estimate with the truth.
fn check(hll: Hll<'_>, model: &Registers, truth: u64) -> Done {
    let failed = |what: String| Err(Fail::text(format!("TESTFAILED {what}")));
    if registers(hll)? != *model {
        return failed(format!("Registers differ after {truth} elements"));
    }
    let count = hll.count()?;
    if count != model.count() {
        return failed(format!("Estimates of both encodings differ after {truth} elements"));
    }
    // Six times the standard error is as good as never; with few elements a shared register weighs
    // more.
    let allowed = (STANDARD_ERROR * 6.0 * truth as f64).ceil() as u64 + 1;
    if count.abs_diff(truth) > allowed {
        return failed(format!("Too big error. card:{truth} abserr:{}", count.abs_diff(truth)));
    }
    Ok(())
}
