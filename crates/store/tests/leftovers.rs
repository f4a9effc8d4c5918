//! A key that comes and goes leaves nothing behind.

use tessera_store::{
    CountingAlloc, Keyspace, KeyspaceOptions, Lookup, NewValue, Placement, used_memory,
};

#[global_allocator]
static ALLOCATOR: CountingAlloc = CountingAlloc;

#[test]
fn what_comes_and_goes_leaves_nothing_behind() {
    let (databases, placement) = (2, Placement::Cluster);
    let keyspace = Keyspace::new(KeyspaceOptions { databases, placement, seed: 7, threads: 1 });
    let come_and_go = |db: usize| {
        let hash = keyspace.locate(b"key");
        let mut world = keyspace.enter(0);
        let mut guard = world.lock(hash.slot());
        let Lookup::Vacant(vacant) = guard.lookup(db, b"key", hash) else { unreachable!() };
        vacant.fill(NewValue::Integer(7), None, 0).delete();
    };
    for db in 0..databases {
        come_and_go(db);
        let before = used_memory();
        (0..1000).for_each(|_| come_and_go(db));
        assert_eq!(used_memory(), before, "database {db}");
    }
}
