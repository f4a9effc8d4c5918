//! Captures of streams that change meanwhile, against copies made when the captures began.

use super::*;
use proptest::prelude::*;

/// A part that outlives the step which showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shown {
    Length(u64),
    Node(StreamId, Vec<u8>),
    History(StreamHistory, StreamId, u64),
    Group(Vec<u8>, StreamId, Option<u64>, u64),
    Pending(StreamId, i64, u64),
    Consumers(u64),
    Consumer(Vec<u8>, i64, Option<i64>, u64),
    Owned(StreamId),
}

impl Shown {
    fn of(part: Part<'_>) -> Shown {
        match part {
            Part::Length(len) => Shown::Length(len),
            Part::Node { first, listpack } => Shown::Node(first, listpack.to_vec()),
            Part::History { history, first_id, groups } => {
                Shown::History(history, first_id, groups)
            }
            Part::Group { name, last_id, entries_read, pending } => {
                Shown::Group(name.to_vec(), last_id, entries_read, pending)
            }
            Part::Pending { id, time, count } => Shown::Pending(id, time, count),
            Part::Consumers(count) => Shown::Consumers(count),
            Part::Consumer { name, seen, active, pending } => {
                Shown::Consumer(name.to_vec(), seen, active, pending)
            }
            Part::Owned(id) => Shown::Owned(id),
            other => panic!("no part of a stream: {other:?}"),
        }
    }
}

fn history(entries: &Entries) -> StreamHistory {
    let counters = Some((entries.max_deleted_id(), entries.added()));
    StreamHistory { len: entries.len(), last_id: entries.last_id(), counters }
}

/// All parts of a stream, as an RDB file has them.
fn parts_of(stream: &Stream) -> Vec<Shown> {
    let mut parts = vec![Shown::Length(stream.entries.nodes() as u64)];
    parts.extend(stream.nodes().map(|(first, bytes)| Shown::Node(first, bytes.to_vec())));
    let (first, groups) = (stream.entries.first_id(), stream.groups.len() as u64);
    parts.push(Shown::History(history(&stream.entries), first, groups));
    for (name, group) in &stream.groups {
        let pending = group.pending() as u64;
        parts.push(Shown::Group(name.to_vec(), group.last_id, group.entries_read, pending));
        let pending = group.pending_from(StreamId::MIN);
        parts.extend(pending.map(|(id, pending)| Shown::Pending(id, pending.time, pending.count)));
        parts.push(Shown::Consumers(group.consumers() as u64));
        for consumer in group.iter() {
            let (name, pending) = (consumer.name().to_vec(), consumer.pending() as u64);
            parts.push(Shown::Consumer(name, consumer.seen, consumer.active, pending));
            parts.extend(consumer.pending_from(StreamId::MIN).map(Shown::Owned));
        }
    }
    parts
}

/// The stream that is made of such parts.
fn loaded(parts: &[Shown]) -> Stream {
    let (mut loader, mut stream) = (StreamLoader::default(), None);
    let mut group: Option<(Vec<u8>, GroupLoader)> = None;
    let (mut owner, mut groups) = (None, Vec::new());
    for part in parts.iter().cloned() {
        match part {
            Shown::Length(_) | Shown::Consumers(_) => {}
            Shown::Node(first, bytes) => loader.node(first, &bytes).expect("a good node"),
            Shown::History(history, ..) => {
                stream = Some(std::mem::take(&mut loader).finish(history).expect("it is so"));
            }
            Shown::Group(name, last_id, entries_read, _) => {
                groups.extend(group.replace((name, GroupLoader::new(last_id, entries_read))));
            }
            Shown::Pending(id, time, count) => {
                group.as_mut().unwrap().1.pending(id, time, count).expect("pending once");
            }
            Shown::Consumer(name, seen, active, _) => {
                owner = group.as_mut().unwrap().1.consumer(&name, seen, active).ok();
            }
            Shown::Owned(id) => {
                group.as_mut().unwrap().1.owns(owner.unwrap(), id).expect("it is pending");
            }
        }
    }
    let mut stream = stream.expect("a history");
    for (name, group) in groups.into_iter().chain(group) {
        let group = group.finish().expect("all that is pending is somebody's");
        assert!(stream.groups.insert(name.into(), group).is_none());
    }
    stream
}

#[derive(Debug, Clone)]
enum Op {
    Add {
        ms: u64,
        value: usize,
    },
    Delete(Vec<usize>),
    Trim {
        keep: u64,
        whole: bool,
        limit: u64,
    },
    TrimFrom {
        at: usize,
        whole: bool,
    },
    /// Only when there are no entries: the last id goes back.
    GoBack(u64),
    Fit,
    Destroy(u8),
    Create(u8),
    DeleteConsumer(u8, u8),
    Assign {
        group: u8,
        id: u64,
        consumer: u8,
        time: i64,
    },
    Touch(u8, u8),
    DeliverAgain(u8, u64),
    Acknowledge(u8, Vec<u64>),
    Advance(u8),
}

fn op() -> impl Strategy<Value = Op> {
    let (group, consumer, id) = (0u8..4, 0u8..6, 1u64..40);
    prop_oneof![
        10 => (1u64..4, 0usize..60).prop_map(|(ms, value)| Op::Add { ms, value }),
        3 => proptest::collection::vec(0usize..60, 1..4).prop_map(Op::Delete),
        2 => (0u64..30, any::<bool>(), 0u64..20)
            .prop_map(|(keep, whole, limit)| Op::Trim { keep, whole, limit }),
        1 => (0usize..60, any::<bool>()).prop_map(|(at, whole)| Op::TrimFrom { at, whole }),
        2 => (0u64..20).prop_map(Op::GoBack),
        1 => Just(Op::Fit),
        1 => group.clone().prop_map(Op::Destroy),
        3 => group.clone().prop_map(Op::Create),
        4 => (group.clone(), consumer.clone()).prop_map(|(group, who)| Op::DeleteConsumer(group, who)),
        10 => (group.clone(), id.clone(), consumer.clone(), 0i64..9)
            .prop_map(|(group, id, consumer, time)| Op::Assign { group, id, consumer, time }),
        4 => (group.clone(), consumer).prop_map(|(group, who)| Op::Touch(group, who)),
        2 => (group.clone(), id.clone()).prop_map(|(group, id)| Op::DeliverAgain(group, id)),
        3 => (group.clone(), proptest::collection::vec(id, 1..5))
            .prop_map(|(group, ids)| Op::Acknowledge(group, ids)),
        1 => group.prop_map(Op::Advance),
    ]
}

fn id_at(stream: &Stream, at: usize) -> StreamId {
    let ids: Vec<_> = stream.entries.range(StreamId::MIN, StreamId::MAX).map(|e| e.id).collect();
    ids.get(at % ids.len().max(1)).copied().unwrap_or(StreamId::new(at as u64, 0))
}

pub(super) fn add(stream: &mut Stream, id: StreamId, value: &[u8], node_entries: u64) {
    let limits = StreamLimits { node_bytes: 0, node_entries };
    let pairs = [(&b"f"[..], value)].into_iter();
    stream.entries.append(id, pairs, limits).expect("it is small");
}

fn apply(op: &Op, node_entries: u64, stream: &mut Stream) {
    match op {
        Op::Add { ms, value } => {
            let id = StreamId::new(stream.entries.last_id().ms + ms, 0);
            add(stream, id, &vec![b'x'; *value], node_entries);
        }
        Op::Delete(which) => {
            let ids: Vec<_> = which.iter().map(|&at| id_at(stream, at)).collect();
            stream.entries.delete(&ids);
        }
        Op::Trim { keep, whole, limit } => {
            stream.entries.trim(Keep::Last(*keep), *whole, *limit);
        }
        Op::TrimFrom { at, whole } => {
            let id = id_at(stream, *at);
            stream.entries.trim(Keep::From(id), *whole, 0);
        }
        Op::GoBack(ms) => {
            if stream.entries.is_empty() {
                let last = StreamId::new(*ms, 0).min(stream.entries.last_id());
                stream.entries.set_last_id(last, None, None);
            }
        }
        Op::Fit => stream.fit(),
        Op::Destroy(group) => _ = stream.groups.remove(&[*group]),
        Op::Create(group) => {
            if !stream.groups.contains_key(&[*group][..]) {
                stream.groups.insert([*group].into(), Group::new(StreamId::MIN, Some(0)));
            }
        }
        op => apply_to_group(op, stream),
    }
}

fn apply_to_group(op: &Op, stream: &mut Stream) {
    let (Op::DeleteConsumer(name, _)
    | Op::Assign { group: name, .. }
    | Op::Touch(name, _)
    | Op::DeliverAgain(name, _)
    | Op::Acknowledge(name, _)
    | Op::Advance(name)) = op
    else {
        unreachable!("{op:?} is of a stream")
    };
    let StreamBody { entries, groups } = &mut **stream;
    let Some(group) = groups.get_mut(&[*name]) else { return };
    match op {
        Op::DeleteConsumer(_, consumer) => _ = group.delete_consumer(&[*consumer]),
        Op::Assign { id, consumer, time, .. } => {
            let (consumer, _) = group.find_or_make(&[*consumer], *time);
            group.assign(StreamId::new(*id, 0), Pending { consumer, time: *time, count: 1 });
        }
        Op::Touch(_, consumer) => {
            let (consumer, _) = group.find_or_make(&[*consumer], 1);
            group.consumer_mut(consumer).active = Some(7);
            group.consumer_mut(consumer).seen += 1;
        }
        Op::DeliverAgain(_, id) => group.deliver_again(StreamId::new(*id, 0), 5),
        Op::Acknowledge(_, ids) => {
            ids.iter().filter(|&&id| group.acknowledge(StreamId::new(id, 0))).count();
        }
        _ => _ = group.advance(entries, entries.last_id()),
    }
}

/// How many parts are put aside in all.
fn kept(stream: &Stream) -> usize {
    let nodes = stream.entries.nodes.capture.get().map_or(0, |capture| capture.nodes.kept().len());
    nodes + stream.groups.kept()
}

/// Shows a step, and whether there is more.
fn step(stream: &mut Stream, budget: usize, shown: &mut Vec<Shown>) -> bool {
    let (before, kept_before, mut cost) = (shown.len(), kept(stream), 0);
    let more = stream.capture_step(budget, &mut |part| {
        assert!(shown.len() == before || cost < budget, "the budget was used up");
        cost += part.cost();
        shown.push(Shown::of(part));
    });
    let passed = kept_before - kept(stream);
    assert!(shown.len() > before || passed > 0 || !more, "it gets on");
    assert!(passed <= 2 * (budget / 32 + 1), "what was put aside counts");
    more
}

/// The parts that are shown from here on, in one step.
fn rest(stream: &mut Stream) -> Vec<Shown> {
    let mut shown = Vec::new();
    assert!(!step(stream, usize::MAX, &mut shown));
    shown
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_capture_shows_the_stream_as_it_was(
        before in proptest::collection::vec(op(), 0..100),
        meanwhile in proptest::collection::vec((proptest::collection::vec(op(), 0..8), 0usize..400), 0..60),
        node_entries in 1u64..8,
        end_after in prop_oneof![4 => Just(usize::MAX), 1 => 0usize..20],
    ) {
        let mut stream = Stream::new();
        before.iter().for_each(|op| apply(op, node_entries, &mut stream));
        let (expected, mut free) = (stream.clone(), stream.clone());
        stream.begin_capture();
        let (mut shown, mut more) = (Vec::new(), true);
        for (ops, budget) in meanwhile.iter().take(end_after) {
            for op in ops {
                apply(op, node_entries, &mut stream);
                apply(op, node_entries, &mut free);
            }
            more = more && step(&mut stream, *budget, &mut shown);
        }
        while more && end_after == usize::MAX {
            more = step(&mut stream, 100, &mut shown);
        }
        drop(stream.end_capture());
        prop_assert_eq!(&stream, &free, "a capture changes nothing");
        let expected = parts_of(&expected);
        prop_assert_eq!(&shown[..], &expected[..shown.len()]);
        if !more {
            prop_assert_eq!(shown.len(), expected.len());
            prop_assert_eq!(parts_of(&loaded(&shown)), expected);
        }
        // Nothing of it is left: the next one begins anew.
        stream.begin_capture();
        prop_assert_eq!(rest(&mut stream), parts_of(&stream.clone()));
        drop(stream.end_capture());
    }
}

/// A stream of this many entries, one in a node, with a group that has given all of them to one of
/// two consumers.
pub(super) fn stream_of(count: u64) -> Stream {
    let mut stream = Stream::new();
    let mut group = Group::new(StreamId::MIN, Some(0));
    for ms in 1..=count {
        let id = StreamId::new(ms, 0);
        add(&mut stream, id, b"v", 1);
        group.advance(&stream.entries, id);
        let (consumer, _) = group.find_or_make(&[(ms % 2) as u8], 1);
        group.assign(id, Pending { consumer, time: 1, count: 1 });
    }
    stream.groups.insert((*b"g").into(), group);
    stream
}

#[test]
fn a_copy_is_not_captured() {
    let mut stream = stream_of(3);
    stream.begin_capture();
    let mut copy = stream.clone();
    assert_eq!(copy, stream);
    copy.begin_capture();
    assert_eq!(rest(&mut copy), parts_of(&stream));
    drop(copy.end_capture());
    assert_eq!(rest(&mut stream), parts_of(&copy));
}

#[test]
fn an_empty_stream_is_shown_in_two_parts() {
    let mut stream = Stream::new();
    stream.begin_capture();
    let mut shown = Vec::new();
    assert!(step(&mut stream, 0, &mut shown));
    assert!(!step(&mut stream, 0, &mut shown));
    assert_eq!(shown, parts_of(&stream));
    drop(stream.end_capture());
    assert_eq!(stream.groups.memory(0), 0);
}

#[test]
fn all_can_be_removed_while_it_is_captured() {
    let mut stream = stream_of(300);
    let expected = parts_of(&stream);
    stream.begin_capture();
    let mut shown = Vec::new();
    assert!(step(&mut stream, 1000, &mut shown));
    stream.entries.trim(Keep::Last(0), true, 0);
    stream.entries.set_last_id(StreamId::new(100, 0), None, None);
    add(&mut stream, StreamId::new(150, 0), b"new", 1);
    add(&mut stream, StreamId::new(150, 1), b"new", 1);
    assert!(stream.groups.remove(b"g"));
    stream.groups.insert((*b"g").into(), Group::new(StreamId::MAX, None));
    assert!(stream.groups.remove(b"g"), "this one was never captured");
    assert_eq!(stream.entries.len(), 2);
    shown.extend(rest(&mut stream));
    assert_eq!(shown, expected);
    drop(stream.end_capture());
    assert!(stream.groups.is_empty());
}

#[test]
fn the_end_takes_out_what_was_not_shown() {
    let mut stream = stream_of(10);
    stream.begin_capture();
    stream.entries.trim(Keep::Last(5), false, 0);
    stream.groups.get_mut(b"g").unwrap().acknowledge(StreamId::new(3, 0));
    drop(stream.end_capture());
    assert!(!stream.groups["g".as_bytes()].capture.is_there());
    assert!(!stream.entries.nodes.capture.is_there());
    drop(stream.end_capture());
}

#[test]
fn a_step_passes_over_no_more_than_it_may_show() {
    let (mut stream, budget) = (Stream::new(), 3200);
    let mut group = Group::new(StreamId::MIN, Some(0));
    let (consumer, _) = group.find_or_make(b"c", 1);
    group.assign(StreamId::MAX, Pending { consumer, time: 1, count: 1 });
    stream.groups.insert((*b"g").into(), group);
    let expected = parts_of(&stream);
    stream.begin_capture();
    let group = stream.groups.get_mut(b"g").unwrap();
    for ms in 1..=1000 {
        group.assign(StreamId::new(ms, 0), Pending { consumer, time: 1, count: 1 });
    }
    let (mut shown, mut steps) = (Vec::new(), 1);
    while step(&mut stream, budget, &mut shown) {
        steps += 1;
    }
    assert_eq!(shown, expected);
    assert_eq!(steps, 1000 * 32 / budget + 1);
    drop(stream.end_capture());
}

#[test]
fn the_number_of_a_deleted_consumer_is_given_out_again() {
    let mut stream = stream_of(6);
    let expected = parts_of(&stream);
    stream.begin_capture();
    let group = stream.groups.get_mut(b"g").unwrap();
    let old = group.find(&[0]).unwrap();
    assert_eq!(group.delete_consumer(&[0]), Some(3));
    // A new one within the range of the names, with the number of the old one, and one of the old
    // name.
    assert_eq!(group.find_or_make(&[0, 5], 9), (old, true));
    let (again, _) = group.find_or_make(&[0], 9);
    for consumer in [old, again] {
        group.assign(StreamId::new(2, 0), Pending { consumer, time: 9, count: 9 });
        group.consumer_mut(consumer).active = Some(9);
    }
    assert_eq!(rest(&mut stream), expected);
    drop(stream.end_capture());
}

#[test]
fn what_a_capture_does_not_show_of_consumers_is_not_put_aside() {
    let mut stream = stream_of(10);
    stream.begin_capture();
    let group = stream.groups.get_mut(b"g").unwrap();
    // Behind the last name; and what is pending is put aside by its own.
    for name in 2..100 {
        let (consumer, _) = group.find_or_make(&[name], 1);
        group.consumer_mut(consumer).seen = 2;
    }
    assert!(group.acknowledge(StreamId::new(1, 0)));
    assert_eq!(group.capture.get().unwrap().consumers.kept().len(), 0);
    let consumer = group.find(&[1]).unwrap();
    group.consumer_mut(consumer).seen = 2;
    group.consumer_mut(consumer).seen = 3;
    assert_eq!(group.capture.get().unwrap().consumers.kept().len(), 1);
    drop(stream.end_capture());
}

#[test]
fn groups_are_captured_when_they_change_or_their_turn_comes() {
    let mut stream = Stream::new();
    for name in 0..100 {
        stream.groups.insert([name].into(), Group::new(StreamId::MIN, None));
    }
    let captured =
        |stream: &Stream| stream.groups.values().filter(|group| group.capture.is_there()).count();
    let expected = parts_of(&stream);
    stream.begin_capture();
    assert_eq!(captured(&stream), 0);
    stream.groups.get_mut(&[70]).unwrap().last_id = StreamId::MAX;
    assert!(stream.groups.remove(&[80]));
    stream.groups.insert([80].into(), Group::new(StreamId::MAX, None));
    stream.groups.insert([80, 0].into(), Group::new(StreamId::MAX, None));
    stream.groups.insert([200].into(), Group::new(StreamId::MAX, None));
    for name in [&[80][..], &[80, 0], &[200]] {
        stream.groups.get_mut(name).unwrap().last_id = StreamId::MIN;
    }
    assert_eq!(captured(&stream), 1);
    let mut shown = Vec::new();
    assert!(step(&mut stream, 300, &mut shown));
    // Groups that were shown are not captured again.
    stream.groups.get_mut(&[0]).unwrap().last_id = StreamId::MAX;
    assert!(captured(&stream) <= 2);
    shown.extend(rest(&mut stream));
    assert_eq!(shown, expected);
    assert_eq!(captured(&stream), 0);
    drop(stream.end_capture());
}

#[test]
fn what_is_added_behind_the_end_is_not_put_aside() {
    let mut stream = stream_of(10);
    stream.begin_capture();
    for ms in 11..1000 {
        let id = StreamId::new(ms, 0);
        add(&mut stream, id, b"v", 1);
        let group = stream.groups.get_mut(b"g").unwrap();
        let (consumer, _) = group.find_or_make(&[1], 1);
        group.assign(id, Pending { consumer, time: 1, count: 1 });
    }
    assert_eq!(stream.entries.nodes.capture.get_mut().unwrap().nodes.kept().len(), 0);
    let group = stream.groups.get_mut(b"g").unwrap();
    assert_eq!(group.capture.get_mut().unwrap().pending.kept().len(), 0);
}
