//! The stream against plain vectors and maps.

use super::capture_tests::{add, stream_of};
use super::*;
use crate::listpack::{Corrupt, Element, Listpack};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A stream without any encoding.
#[derive(Default, Debug)]
struct Model {
    entries: BTreeMap<StreamId, Fields>,
    last: StreamId,
    max_deleted: StreamId,
    added: u64,
}

#[derive(Debug, Clone)]
enum Op {
    Add { ms: u64, seq: u64, fields: Fields },
    Delete(Vec<usize>),
    KeepLast(u64),
    KeepFrom(usize),
    TrimNodes { keep: u64, limit: u64 },
}

fn fields() -> impl Strategy<Value = Fields> {
    let name = prop_oneof![Just(b"a".to_vec()), Just(b"b".to_vec()), Just(b"77".to_vec())];
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..20),
        (0usize..300).prop_map(|len| vec![b'x'; len]),
    ];
    // Mostly the same fields, which nodes keep once.
    prop_oneof![
        3 => value.clone().prop_map(|v| vec![(b"a".to_vec(), v.clone()), (b"b".to_vec(), v)]),
        1 => proptest::collection::vec((name, value), 1..5),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let step = prop_oneof![Just((0u64, 1u64)), (1u64..200, 0u64..3), (0u64..1, 1u64..100_000)];
    prop_oneof![
        12 => (step, fields()).prop_map(|((ms, seq), fields)| Op::Add { ms, seq, fields }),
        3 => proptest::collection::vec(0usize..60, 1..4).prop_map(Op::Delete),
        1 => (0u64..30).prop_map(Op::KeepLast),
        1 => (0usize..60).prop_map(Op::KeepFrom),
        1 => (0u64..30, 0u64..20).prop_map(|(keep, limit)| Op::TrimNodes { keep, limit }),
    ]
}

fn slices(fields: &Fields) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
    fields.iter().map(|(field, value)| (field.as_slice(), value.as_slice()))
}

fn seen(entry: &StreamEntry<'_>) -> (StreamId, Fields) {
    (entry.id, entry.pairs().map(|(field, value)| (field.to_vec(), value.to_vec())).collect())
}

fn id_at(model: &Model, at: usize) -> StreamId {
    let count = model.entries.len().max(1);
    model.entries.keys().nth(at % count).copied().unwrap_or(StreamId::new(at as u64, 1))
}

fn apply(op: Op, limits: StreamLimits, stream: &mut Stream, model: &mut Model) {
    match op {
        Op::Add { ms, seq, fields } => {
            let last = model.last;
            let id = StreamId::new(last.ms + ms, if ms > 0 { seq } else { last.seq + seq.max(1) });
            stream.entries.append(id, slices(&fields), limits).expect("it is small");
            model.entries.insert(id, fields);
            model.last = id;
            model.added += 1;
        }
        Op::Delete(which) => {
            let ids: Vec<StreamId> = which.iter().map(|&at| id_at(model, at)).collect();
            let mut gone = 0;
            for id in &ids {
                if model.entries.remove(id).is_some() {
                    model.max_deleted = model.max_deleted.max(*id);
                    gone += 1;
                }
            }
            assert_eq!(stream.entries.delete(&ids), gone);
        }
        Op::KeepLast(count) => {
            let excess = (model.entries.len() as u64).saturating_sub(count);
            assert_eq!(stream.entries.trim(Keep::Last(count), false, 0), excess);
            (0..excess).for_each(|_| drop(model.entries.pop_first()));
        }
        Op::KeepFrom(at) => {
            let id = id_at(model, at);
            let rest = model.entries.split_off(&id);
            let gone = stream.entries.trim(Keep::From(id), false, 0);
            assert_eq!(gone, model.entries.len() as u64);
            model.entries = rest;
        }
        Op::TrimNodes { keep, limit } => {
            let gone = stream.entries.trim(Keep::Last(keep), true, limit);
            assert!(limit == 0 || gone <= limit);
            assert!(gone == 0 || stream.entries.len() >= keep);
            (0..gone).for_each(|_| drop(model.entries.pop_first()));
        }
    }
}

fn compare(stream: &Stream, model: &Model) {
    let entries = &stream.entries;
    assert_eq!(entries.len(), model.entries.len() as u64);
    let first = model.entries.keys().next().copied().unwrap_or_default();
    assert_eq!((entries.first_id(), entries.last_id()), (first, model.last));
    assert_eq!((entries.max_deleted_id(), entries.added()), (model.max_deleted, model.added));
    assert_eq!(entries.last_present(), model.entries.keys().next_back().copied());
}

fn compare_range(stream: &Stream, model: &Model, start: StreamId, end: StreamId) {
    let expected: Vec<(StreamId, Fields)> = if start <= end {
        model.entries.range(start..=end).map(|(id, fields)| (*id, fields.clone())).collect()
    } else {
        Vec::new()
    };
    let forward: Vec<_> = stream.entries.range(start, end).map(|entry| seen(&entry)).collect();
    assert_eq!(forward, expected);
    let mut backward: Vec<_> =
        stream.entries.range_back(start, end).map(|entry| seen(&entry)).collect();
    backward.reverse();
    assert_eq!(backward, expected);
}

fn reload(stream: &Stream) -> Stream {
    let mut loader = StreamLoader::default();
    stream.nodes().for_each(|(first, bytes)| loader.node(first, bytes).expect("a good node"));
    let entries = &stream.entries;
    let counters = Some((entries.max_deleted_id(), entries.added()));
    let history = StreamHistory { len: entries.len(), last_id: entries.last_id(), counters };
    loader.finish(history).expect("a good stream")
}

proptest! {
    #[test]
    fn behaves_like_a_map(
        ops in proptest::collection::vec(op(), 0..120),
        node_bytes in prop_oneof![Just(0usize), 1usize..2000],
        node_entries in prop_oneof![Just(0u64), 1u64..20],
        starts in (0usize..80, 0usize..80),
    ) {
        let limits = StreamLimits { node_bytes, node_entries };
        let (mut stream, mut model) = (Stream::new(), Model::default());
        for op in ops {
            apply(op, limits, &mut stream, &mut model);
            compare(&stream, &model);
        }
        compare_range(&stream, &model, StreamId::MIN, StreamId::MAX);
        let (start, end) = (id_at(&model, starts.0), id_at(&model, starts.1));
        compare_range(&stream, &model, start, end);
        compare_range(&stream, &model, start.next().unwrap(), end.prev().unwrap_or(end));
        prop_assert_eq!(&reload(&stream), &stream);
        prop_assert_eq!(&stream.clone(), &stream);
    }

    #[test]
    fn bytes_from_outside_are_refused_or_harmless(
        ops in proptest::collection::vec(op(), 1..12),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let limits = StreamLimits { node_bytes: 4096, node_entries: 100 };
        let (mut stream, mut model) = (Stream::new(), Model::default());
        ops.into_iter().for_each(|op| apply(op, limits, &mut stream, &mut model));
        let Some((first, bytes)) = stream.nodes().next() else { return Ok(()) };
        let mut bytes = bytes.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let mut loader = StreamLoader::default();
        if loader.node(first, &bytes).is_ok() {
            let len = loader.len();
            let history = StreamHistory { len, last_id: StreamId::MAX, counters: None };
            let mut stream = loader.finish(history).expect("the history fits");
            prop_assert_eq!(stream.entries.range(StreamId::MIN, StreamId::MAX).count() as u64, len);
            prop_assert_eq!(
                stream.entries.range_back(StreamId::MIN, StreamId::MAX).count() as u64, len);
            stream.entries.trim(Keep::Last(0), false, 0);
            prop_assert!(stream.entries.is_empty());
        }
    }

    #[test]
    fn elements_are_nodes_or_refused(elements in proptest::collection::vec(-3i64..6, 0..30)) {
        let mut listpack = Listpack::new();
        prop_assert!(listpack.extend(elements.into_iter().map(Element::Integer)));
        let mut loader = StreamLoader::default();
        if loader.node(StreamId::new(5, 5), listpack.as_bytes()).is_ok() {
            let len = loader.len();
            let history = StreamHistory { len, last_id: StreamId::MAX, counters: None };
            let stream = loader.finish(history).expect("the history fits");
            prop_assert_eq!(stream.entries.range(StreamId::MIN, StreamId::MAX).count() as u64, len);
        }
    }

    #[test]
    fn groups_behave_like_a_map(ops in proptest::collection::vec((0u8..5, 0u64..12, 0u8..4), 0..80)) {
        let mut group = Group::default();
        let mut model: BTreeMap<StreamId, (u8, u64)> = BTreeMap::new();
        for (what, id, who) in ops {
            let id = StreamId::new(id, 1);
            match what {
                0 | 1 => {
                    let (consumer, _) = group.find_or_make(&[who], 7);
                    group.assign(id, Pending { consumer, time: 5, count: 1 });
                    model.insert(id, (who, 1));
                }
                2 => prop_assert_eq!(group.acknowledge(id), model.remove(&id).is_some()),
                3 => {
                    group.deliver_again(id, 9);
                    if let Some((_, count)) = model.get_mut(&id) {
                        *count += 1;
                    }
                }
                _ => {
                    let had = model.values().filter(|&&(owner, _)| owner == who).count();
                    let was_there = group.find(&[who]).is_some();
                    prop_assert_eq!(group.delete_consumer(&[who]), was_there.then_some(had));
                    model.retain(|_, &mut (owner, _)| owner != who);
                }
            }
            let pending: Vec<_> = group
                .pending_from(StreamId::MIN)
                .map(|(id, p)| (id, group.consumer(p.consumer).name()[0], p.count))
                .collect();
            let expected: Vec<_> = model.iter().map(|(&id, &(who, n))| (id, who, n)).collect();
            prop_assert_eq!(pending, expected);
            for consumer in group.iter() {
                let own: Vec<_> = consumer.pending_from(StreamId::MIN).collect();
                let name = consumer.name()[0];
                let expected: Vec<_> =
                    model.iter().filter(|(_, (who, _))| *who == name).map(|(&id, _)| id).collect();
                prop_assert_eq!(own.len(), consumer.pending());
                prop_assert_eq!(own, expected);
            }
        }
    }
}

#[test]
fn a_node_is_what_redis_makes_of_the_same_entries() {
    let mut stream = Stream::new();
    let limits = StreamLimits { node_bytes: 4096, node_entries: 100 };
    let mut add = |seq, fields: &[(&str, &str)]| {
        let pairs = fields.iter().map(|(field, value)| (field.as_bytes(), value.as_bytes()));
        stream.entries.append(StreamId::new(1000, seq), pairs, limits).unwrap();
    };
    add(1, &[("f", "v"), ("g", "1")]);
    add(2, &[("f", "w"), ("g", "2")]);
    add(3, &[("h", "x")]);
    assert_eq!(stream.entries.delete(&[StreamId::new(1000, 2)]), 1);
    let (first, bytes) = stream.nodes().next().unwrap();
    assert_eq!(first, StreamId::new(1000, 1));
    let listpack = Listpack::from_bytes(bytes).unwrap();
    let elements: Vec<String> =
        listpack.iter().map(|element| String::from_utf8(element.to_vec()).unwrap()).collect();
    let expected = "2 1 2 f g 0 \
                    2 0 0 v 1 5 \
                    3 0 1 w 2 5 \
                    0 0 2 1 h x 6";
    assert_eq!(elements.join(" "), expected);
}

#[test]
fn ids_have_neighbours_and_text() {
    let id = StreamId::new(7, u64::MAX);
    assert_eq!(id.next(), Some(StreamId::new(8, 0)));
    assert_eq!(StreamId::new(8, 0).prev(), Some(id));
    assert_eq!((StreamId::MAX.next(), StreamId::MIN.prev()), (None, None));
    for id in [StreamId::MIN, StreamId::MAX, id, StreamId::new(1526919030474, 55)] {
        assert_eq!(id.text(&mut IdText::default()), id.to_string().as_bytes());
        assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
    }
}

#[test]
fn nodes_are_found_in_any_of_many_chunks() {
    let limits = StreamLimits { node_bytes: 0, node_entries: 1 };
    let (mut stream, mut model) = (Stream::new(), Model::default());
    for ms in 1..=2000 {
        let fields = vec![(b"f".to_vec(), b"v".to_vec())];
        apply(Op::Add { ms: 1, seq: ms % 3, fields }, limits, &mut stream, &mut model);
    }
    assert_eq!(stream.entries.nodes(), 2000);
    apply(Op::Delete((300..1400).collect()), limits, &mut stream, &mut model);
    apply(Op::KeepLast(1200), limits, &mut stream, &mut model);
    compare(&stream, &model);
    for (start, end) in [(0, 1199), (5, 5), (255, 770), (1100, 1199)] {
        compare_range(&stream, &model, id_at(&model, start), id_at(&model, end));
    }
    assert_eq!(stream.entries.nodes() as u64, stream.entries.len());
}

#[test]
fn what_is_said_of_a_stream_must_be_so() {
    let mut stream = Stream::new();
    let limits = StreamLimits { node_bytes: 4096, node_entries: 1 };
    for ms in 1..=2 {
        let pairs = [(&b"f"[..], &b"v"[..])];
        stream.entries.append(StreamId::new(ms, 0), pairs.into_iter(), limits).unwrap();
    }
    let nodes: Vec<_> = stream.nodes().collect();
    let load = |order: &[usize], len, last_id| {
        let mut loader = StreamLoader::default();
        for &at in order {
            loader.node(nodes[at].0, nodes[at].1)?;
        }
        loader.finish(StreamHistory { len, last_id, counters: None })
    };
    assert!(load(&[0, 1], 2, StreamId::new(2, 0)).is_ok());
    assert!(load(&[1, 0], 2, StreamId::new(2, 0)).is_err(), "out of order");
    assert!(load(&[0, 1], 3, StreamId::new(2, 0)).is_err(), "another length");
    assert!(load(&[0, 1], 2, StreamId::new(1, 9)).is_err(), "an entry behind the last id");
    let mut group = GroupLoader::new(StreamId::MIN, None);
    group.pending(StreamId::new(1, 0), 5, 1).unwrap();
    assert!(group.pending(StreamId::new(1, 0), 5, 1).is_err(), "twice");
    let alice = group.consumer(b"alice", 1, None).unwrap();
    assert!(group.consumer(b"alice", 1, None).is_err(), "twice");
    assert!(group.owns(alice, StreamId::new(2, 0)).is_err(), "not pending");
    group.owns(alice, StreamId::new(1, 0)).unwrap();
    assert_eq!(group.finish().unwrap().pending(), 1);
    let mut group = GroupLoader::new(StreamId::MIN, None);
    group.pending(StreamId::new(1, 0), 5, 1).unwrap();
    assert!(group.finish().is_err(), "nobody's");
}

/// A node with one entry, this many milliseconds behind the node's id.
fn node_of_one(delta: i64) -> Listpack {
    let mut listpack = Listpack::new();
    let head =
        [Element::Integer(1), Element::Integer(0), Element::Integer(1), Element::Bytes(b"f")];
    let entry = [0, 2, delta, 0, 7, 4].map(Element::Integer);
    assert!(listpack.extend(head.into_iter().chain(entry)));
    listpack
}

#[test]
fn nodes_whose_ids_do_not_ascend_are_refused() {
    let load = |second: u64, delta: i64| {
        let mut loader = StreamLoader::default();
        loader.node(StreamId::new(5, 0), node_of_one(3).as_bytes()).expect("it is the first");
        loader.node(StreamId::new(second, 0), node_of_one(delta).as_bytes())
    };
    assert_eq!(load(9, 11), Ok(()));
    // Its entry is behind the others, but a search for those would come to this node.
    for second in [5, 7, 8] {
        assert_eq!(load(second, 20), Err(Corrupt), "{second}");
    }
}

#[test]
fn counters_beyond_signed_numbers_are_taken_as_the_largest() {
    let mut loader = GroupLoader::new(StreamId::MIN, Some(u64::MAX - 1));
    let consumer = loader.consumer(b"c", 0, None).expect("the first");
    loader.pending(StreamId::new(1, 0), 0, u64::MAX).expect("the first");
    loader.owns(consumer, StreamId::new(1, 0)).expect("it is pending");
    let mut group = loader.finish().expect("all is owned");
    group.deliver_again(StreamId::new(1, 0), 0);
    let pending = group.pending_at(StreamId::new(1, 0)).expect("it is pending");
    assert_eq!(pending.count, MAX_STREAM_COUNT);
    assert_eq!(group.entries_read, Some(MAX_STREAM_COUNT));

    // The entry that is read next is not counted any more.
    let (mut stream, mut model) = (Stream::new(), Model::default());
    let limits = StreamLimits { node_bytes: 0, node_entries: 0 };
    for seq in 1..=2 {
        let op = Op::Add { ms: 1, seq, fields: vec![(b"f".to_vec(), b"v".to_vec())] };
        apply(op, limits, &mut stream, &mut model);
    }
    let ids: Vec<StreamId> =
        stream.entries.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect();
    let mut group = Group::new(ids[0], Some(MAX_STREAM_COUNT));
    assert!(group.advance(&stream.entries, ids[1]));
    assert_eq!(group.entries_read, Some(2), "and not beyond what was added");
    assert_eq!(group.lag(&stream.entries), Some(0));
}

/// How long it takes to change all of a stream, with a step of a capture now and then if there is
/// one.
fn time_of_changes(mut stream: Stream, is_captured: bool) -> Duration {
    let (count, mut shown) = (stream.entries.len(), 0u64);
    let start = Instant::now();
    if is_captured {
        stream.begin_capture();
    }
    let mut more = is_captured;
    for ms in 1..=count {
        add(&mut stream, StreamId::new(count + ms, 0), b"v", 1);
        // From the far end, so that the capture meets it late.
        let id = StreamId::new(count + 1 - ms, 0);
        stream.entries.delete(&[id]);
        stream.entries.trim(Keep::Last(count - ms / 2), false, 0);
        let group = stream.groups.get_mut(b"g").expect("it was made");
        group.deliver_again(id, 2);
        group.acknowledge(id);
        if more && ms % 100 == 0 {
            more = stream.capture_step(1000, &mut |_| shown += 1);
        }
    }
    while more {
        more = stream.capture_step(1000, &mut |_| shown += 1);
    }
    drop(stream.end_capture());
    // Nodes, and each pending entry twice; besides them the number, the history, the group, and two
    // consumers.
    assert!(!is_captured || shown == count * 3 + 6);
    start.elapsed()
}

#[test]
fn a_capture_slows_no_operation_down_by_much() {
    let stream = stream_of(100_000);
    let free = time_of_changes(stream.clone(), false);
    let captured = time_of_changes(stream, true);
    // Code that looks at all parts each time would take a thousand times as long.
    assert!(captured < free * 20 + Duration::from_secs(1), "{captured:?}, not captured {free:?}");
}

/// The shortest time of some that something takes: the machine may be busy.
fn shortest(mut act: impl FnMut()) -> Duration {
    let times = (0..5).map(|_| {
        let start = Instant::now();
        act();
        start.elapsed()
    });
    times.min().expect("it was done")
}

#[test]
fn neither_a_beginning_nor_an_estimate_goes_through_all_consumers() {
    let (mut stream, mut group) = (Stream::new(), Group::new(StreamId::MIN, None));
    for number in 0..100_000 {
        group.find_or_make(format!("consumer {number:06}").as_bytes(), 1);
    }
    stream.groups.insert((*b"g").into(), group);
    for name in 0..10_000 {
        stream.groups.insert(format!("{name}").into_bytes().into(), Group::default());
    }
    let copying = shortest(|| drop(stream.clone()));
    let beginning = shortest(|| {
        stream.begin_capture();
        // As a reader of the stream meets it.
        let group = stream.groups.get_mut(b"g").expect("it was made");
        let consumer = group.find(b"consumer 050000").expect("it was made");
        group.consumer_mut(consumer).seen += 1;
        drop(stream.end_capture());
    });
    assert!(beginning < copying / 20, "{beginning:?}, copying {copying:?}");

    stream.groups.get_mut(b"g").expect("it was made").find_or_make(b"a", 1);
    let (exact, estimate) = (stream.memory(0), stream.memory(5));
    assert!(estimate.abs_diff(exact) < exact / 10, "{estimate}, all looked at {exact}");
    let group = &stream.groups["g".as_bytes()];
    let looking_at_all = shortest(|| _ = std::hint::black_box(group.memory(0)));
    let estimating = shortest(|| _ = std::hint::black_box(group.memory(5)));
    assert!(estimating < looking_at_all / 4, "{estimating:?}, all {looking_at_all:?}");
}
