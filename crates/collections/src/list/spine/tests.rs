//! The sequence of nodes against a plain vector.

use super::*;
use proptest::prelude::*;

/// A node of this many elements, which can be told from the others.
fn node(count: usize) -> Node {
    let mut listpack = crate::Listpack::new();
    (0..count).for_each(|number| listpack.push_integer(number as i64));
    Node::of(listpack)
}

fn place_of(spine: &Spine, number: usize) -> Place {
    let mut at = spine.first().expect("it has a node");
    for _ in 0..number {
        at = spine.next(at).expect("so many nodes");
    }
    at
}

fn counts(spine: &Spine) -> Vec<usize> {
    spine.iter().map(Node::count).collect()
}

#[derive(Debug, Clone)]
enum Op {
    PushFront(usize),
    PushBack(usize),
    InsertBefore(usize, usize),
    InsertAfter(usize, usize),
    Remove(usize, bool),
    RemoveMany(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (1usize..9).prop_map(Op::PushFront),
        4 => (1usize..9).prop_map(Op::PushBack),
        6 => (any::<usize>(), 1usize..9).prop_map(|(at, count)| Op::InsertBefore(at, count)),
        6 => (any::<usize>(), 1usize..9).prop_map(|(at, count)| Op::InsertAfter(at, count)),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(at, join)| Op::Remove(at, join)),
        1 => (any::<usize>(), 0usize..200).prop_map(|(at, count)| Op::RemoveMany(at, count)),
    ]
}

fn apply(op: Op, spine: &mut Spine, model: &mut Vec<usize>) {
    match op {
        Op::PushFront(count) => {
            spine.push_front(node(count));
            model.insert(0, count);
        }
        Op::PushBack(count) => {
            spine.push_back(node(count));
            model.push(count);
        }
        _ if model.is_empty() => {}
        Op::InsertBefore(at, count) => {
            let at = at % model.len();
            let new = spine.insert_before(place_of(spine, at), node(count));
            assert_eq!(new, place_of(spine, at));
            model.insert(at, count);
        }
        Op::InsertAfter(at, count) => {
            let at = at % model.len();
            let new = spine.insert_after(place_of(spine, at), node(count));
            assert_eq!(spine.get(new).count(), count);
            model.insert(at + 1, count);
            assert_eq!(spine.get(place_of(spine, at + 1)).count(), count);
        }
        Op::Remove(at, join) => {
            let at = at % model.len();
            let place = place_of(spine, at);
            let (node, next) = spine.remove(place);
            assert_eq!(node.count(), model.remove(at));
            assert_eq!(next.map(|next| spine.get(next).count()), model.get(at).copied());
            if join {
                spine.join(place);
            }
        }
        Op::RemoveMany(at, count) => {
            let at = at % model.len();
            let place = place_of(spine, at);
            let mut next = Some(place);
            for _ in 0..count {
                let Some(at) = next else { break };
                next = spine.remove(at).1;
            }
            model.drain(at..(at + count).min(model.len()));
            spine.join(place);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn behaves_as_a_sequence(ops in proptest::collection::vec(op(), 0..700)) {
        let (mut spine, mut model) = (Spine::default(), Vec::new());
        for op in ops {
            apply(op, &mut spine, &mut model);
            prop_assert_eq!(spine.nodes(), model.len());
        }
        spine.validate();
        prop_assert_eq!(counts(&spine), model.clone());
        let mut backwards = Vec::new();
        let mut at = spine.last();
        while let Some(place) = at {
            backwards.push(spine.get(place).count());
            at = spine.prev(place);
        }
        backwards.reverse();
        prop_assert_eq!(&backwards, &model);
        let mut index = 0;
        for (number, &count) in model.iter().enumerate() {
            let place = place_of(&spine, number);
            prop_assert_eq!(spine.seek(index), Some((place, 0)));
            prop_assert_eq!(spine.number_of(place), index);
            prop_assert_eq!(spine.forward(place_of(&spine, 0), index), Some(place));
            let behind: usize = model[number..].iter().sum();
            prop_assert_eq!(spine.forward(place, behind), None);
            prop_assert_eq!(spine.seek(index + count - 1), Some((place, count - 1)));
            index += count;
            for depth in [0, 1, 3, 200] {
                let near = number < depth || model.len() - 1 - number < depth;
                prop_assert_eq!(spine.is_near_end(place, depth), near);
            }
        }
        prop_assert_eq!(spine.seek(index), None);
    }
}

#[test]
fn sequences_are_joined() {
    for (left, right) in [(0, 0), (0, 3), (3, 0), (3, 5), (200, 1), (1, 200), (500, 300)] {
        let (mut spine, mut other) = (Spine::default(), Spine::default());
        (0..left).for_each(|_| spine.push_back(node(2)));
        (0..right).for_each(|_| other.push_back(node(3)));
        spine.append(other);
        spine.validate();
        let expected = [vec![2; left], vec![3; right]].concat();
        assert_eq!(counts(&spine), expected);
    }
}

#[test]
fn a_sequence_that_has_shrunk_gives_its_memory_back() {
    let mut spine = Spine::default();
    for _ in 0..100_000 {
        spine.push_back(node(1));
    }
    let large = spine.memory(1);
    while spine.nodes() > 3 {
        let first = spine.first().expect("there are more than three");
        spine.remove(first);
    }
    spine.validate();
    assert!(spine.memory(0) < 5_000 && large > 1_600_000, "{} {large}", spine.memory(0));
}
