//! DEBUG PROTOCOL: a value of each type, for tests of client libraries.

use super::check_allowed;
use crate::{Args, Cx, Db, Done, Fail};
use tessera_resp::{Protocol, Reply};

pub(super) fn protocol(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let name = String::from_utf8_lossy(args.at(2)).to_ascii_lowercase();
    let reply = &mut *cx.reply;
    let resp3 = reply.protocol == Protocol::Resp3;
    match name.as_str() {
        "string" => reply.bulk(b"Hello World"),
        "integer" => reply.integer(12_345),
        "double" => reply.double_text("3.141"),
        "null" => reply.null(),
        "bignum" => big_number(reply, resp3),
        "array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        "set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        "map" => {
            reply.map(3);
            for number in 0..3 {
                reply.integer(number);
                reply.boolean(number == 1);
            }
        }
        "attrib" => attribute(reply, resp3),
        "push" if !resp3 => return Err(Fail::text("ERR RESP2 is not supported by this command")),
        "push" => {
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
            // A push is no answer to the command.
            reply.ok();
        }
        "verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        "true" => reply.boolean(true),
        "false" => reply.boolean(false),
        _ => {
            return Err(Fail::text(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

fn big_number(reply: &mut Reply, resp3: bool) {
    const NUMBER: &[u8] = b"1234567999999999999999999999999999999";
    if resp3 {
        reply.buf.push(b'(');
        reply.buf.extend_from_slice(NUMBER);
        reply.buf.extend_from_slice(b"\r\n");
    } else {
        reply.bulk(NUMBER);
    }
}

/// An attribute stands before the reply it is about; RESP2 has none.
fn attribute(reply: &mut Reply, resp3: bool) {
    if resp3 {
        reply.buf.extend_from_slice(b"|1\r\n");
        reply.bulk(b"key-popularity");
        reply.array(2);
        reply.bulk(b"key:123");
        reply.integer(90);
    }
    reply.bulk(b"Some real reply following the attribute");
}
