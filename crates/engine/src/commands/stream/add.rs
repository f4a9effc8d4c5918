//! XADD.

use super::ids::NewId;
use super::trim::{Kept, Trim, TrimOptions};
use super::{STREAM, VARIES, WRITE_FAST, notify, reply_id};
use crate::command::{Command, Flags, KeyUse};
use crate::{Args, Cx, Db, Done, Fail, FoundAs};
use tessera_collections::{Stream, StreamId, StreamLimits};

pub(super) const XADD: Command = Command::new("xadd", -5, xadd)
    .flags(WRITE_FAST.or(Flags::DENYOOM))
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .tips(VARIES)
    .doc(
        STREAM,
        "5.0.0",
        "O(1) for the entry, O(N) with N the number of entries removed by trimming",
        "Adds an entry to a stream; makes the stream if there is none.",
        "key [NOMKSTREAM] [<MAXLEN|MINID> [=|~] threshold [LIMIT count]] <*|id> <field value>...",
    );

/// How large nodes may become.
fn limits(cx: &Cx<'_>) -> StreamLimits {
    let data = &cx.config.data;
    StreamLimits {
        node_bytes: usize::try_from(data.stream_node_max_bytes.0).unwrap_or(usize::MAX),
        node_entries: data.stream_node_max_entries,
    }
}

struct Options {
    no_make: bool,
    trim: Option<Trim>,
    id: NewId,
    /// The position of the id; fields and values are behind it.
    id_at: usize,
}

fn options(args: Args<'_>, cx: &Cx<'_>) -> Result<Options, Fail> {
    let (mut no_make, mut trim, mut at) = (false, TrimOptions::default(), 2);
    while at < args.len() && args.at(at) != b"*" {
        if let Some(next) = trim.take(args, at)? {
            at = next;
        } else if args.is(at, "nomkstream") {
            no_make = true;
            at += 1;
        } else {
            break;
        }
    }
    let id = args.get(at).map_or(Ok(NewId::Auto), NewId::parse)?;
    let trim = trim.finish(cx)?;
    let rest = args.len().saturating_sub(at + 1);
    if rest < 2 || rest % 2 == 1 {
        return Err(Fail::Arity("xadd".into()));
    }
    if id == NewId::Given(StreamId::MIN) {
        return Err(Fail::text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    Ok(Options { no_make, trim, id, id_at: at })
}

fn xadd(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let options = options(args, cx)?;
    let (key, mut is_new) = (db.key(args.at(1), 0), false);
    let found = if options.no_make {
        db.find_as::<Stream>(key)?
    } else {
        let make = || {
            is_new = true;
            Stream::new()
        };
        Some(db.find_or_make(key, make)?)
    };
    let Some(mut found) = found else {
        cx.reply.null();
        return Ok(());
    };
    let id = match append(&mut found, cx, args, &options) {
        Ok(id) => id,
        Err(fail) => {
            if is_new {
                found.delete();
            }
            return Err(fail);
        }
    };
    cx.changed(1);
    reply_id(cx.reply, id);
    if is_new {
        cx.notify_new(key.bytes);
    } else {
        cx.ready(key);
    }
    notify(cx, "xadd", key);
    let trim = options.trim.as_ref();
    let removes = |trim: &Trim| trim.would_remove(&found.get().entries);
    if trim
        .filter(|trim| removes(trim))
        .is_some_and(|trim| trim.apply(&mut found.edit().entries) > 0)
    {
        notify(cx, "xtrim", key);
    }
    let is_exact = !trim.is_some_and(Trim::is_inexact);
    if !is_exact || !matches!(options.id, NewId::Given(_)) {
        // Replicas get the id that was chosen, and keep exactly what was kept.
        cx.propagate_instead(|| {
            let kept = Kept::of(&found.get().entries);
            let told = |(at, arg): (usize, &[u8])| match trim {
                _ if at == options.id_at => Some(id.to_string().into_bytes()),
                Some(trim) if at < options.id_at => trim.exactly(at, arg, &kept),
                _ => Some(arg.to_vec()),
            };
            args.from(0).enumerate().filter_map(told).collect()
        });
    }
    Ok(())
}

fn append(
    found: &mut FoundAs<'_, '_, Stream>,
    cx: &Cx<'_>,
    args: Args<'_>,
    options: &Options,
) -> Result<StreamId, Fail> {
    let last = found.get().entries.last_id();
    if last == StreamId::MAX {
        return Err(Fail::text(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let id = options.id.choose(last, cx.now.0)?;
    let first = options.id_at + 1;
    let pairs = (0..(args.len() - first) / 2)
        .map(|pair| (args.at(first + pair * 2), args.at(first + pair * 2 + 1)));
    match found.edit().entries.append(id, pairs, limits(cx)) {
        Ok(()) => Ok(id),
        Err(_) => Err(Fail::text("ERR Elements are too large to be stored")),
    }
}
