//! Commands on keys of any type.

mod copy;
mod delete;
mod dump;
pub(super) mod expire;
mod object;
mod rename;
mod scan;
mod sort;
mod ttl;
mod wait;

pub(super) use dump::serialized_length;
pub(super) use object::encoding_name;

use crate::command::{Command, Flags, Group};

const GENERIC: Group = Group::Generic;
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const WRITE_FAST: Flags = WRITE.or(Flags::FAST);

pub(super) const COMMANDS: &[Command] = &[
    delete::DEL,
    delete::UNLINK,
    delete::EXISTS,
    delete::TOUCH,
    delete::TYPE,
    expire::EXPIRE,
    expire::PEXPIRE,
    expire::EXPIREAT,
    expire::PEXPIREAT,
    ttl::TTL,
    ttl::PTTL,
    ttl::EXPIRETIME,
    ttl::PEXPIRETIME,
    ttl::PERSIST,
    rename::RENAME,
    rename::RENAMENX,
    copy::COPY,
    copy::MOVE,
    dump::DUMP,
    dump::RESTORE,
    dump::RESTORE_ASKING,
    scan::RANDOMKEY,
    scan::KEYS,
    scan::SCAN,
    sort::SORT,
    sort::SORT_RO,
    object::OBJECT,
    wait::WAIT,
];
