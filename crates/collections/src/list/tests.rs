//! The list against a plain vector.

mod capture;

use super::*;
use proptest::prelude::*;

fn copy(element: Element<'_>) -> Vec<u8> {
    element.to_vec()
}

fn at(list: &List, index: i64) -> Option<Vec<u8>> {
    list.with(index, copy)
}

fn content(list: &List, direction: Direction) -> Vec<Vec<u8>> {
    let start = match direction {
        Direction::Forward => 0,
        Direction::Backward => list.len().saturating_sub(1),
    };
    let mut content = Vec::new();
    list.visit(start, direction, |element| {
        content.push(element.to_vec());
        ControlFlow::<()>::Continue(())
    });
    content
}

fn validate(list: &List) {
    if let List::Quick(list) = list {
        list.validate();
    }
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0i64..20).prop_map(|n| n.to_string().into_bytes()),
        2 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        2 => proptest::collection::vec(any::<u8>(), 0..40),
        2 => (0usize..3000, 0u8..4).prop_map(|(len, byte)| vec![byte; len]),
        1 => (4000usize..9000, 0u8..4).prop_map(|(len, byte)| vec![byte; len]),
    ]
}

#[derive(Debug, Clone)]
enum Op {
    Push(End, Vec<Vec<u8>>),
    Pop(End),
    Set(usize, Vec<u8>),
    Insert(usize, Side, Vec<u8>),
    RemoveRange(usize, usize),
    RemoveEqual(usize, Direction, usize),
    /// The limits change while there is a list.
    Limits(ListLimits),
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Left), Just(End::Right)]
}

fn limits() -> impl Strategy<Value = ListLimits> {
    let size = prop_oneof![Just(-1), Just(-2), 1..6];
    let depth = prop_oneof![3 => Just(0u32), 2 => 1u32..4];
    let threshold = prop_oneof![4 => Just(0usize), 1 => 1usize..100];
    (size, depth, threshold).prop_map(|(size, depth, threshold)| {
        ListLimits::new(size, depth).with_packed_threshold(threshold)
    })
}

fn op() -> impl Strategy<Value = Op> {
    let side = prop_oneof![Just(Side::Before), Just(Side::After)];
    let direction = prop_oneof![Just(Direction::Forward), Just(Direction::Backward)];
    prop_oneof![
        6 => (end(), proptest::collection::vec(text(), 1..5)).prop_map(|(end, texts)| Op::Push(end, texts)),
        3 => end().prop_map(Op::Pop),
        3 => (any::<usize>(), text()).prop_map(|(at, text)| Op::Set(at, text)),
        5 => (any::<usize>(), side, text()).prop_map(|(at, side, text)| Op::Insert(at, side, text)),
        2 => (any::<usize>(), 0usize..9).prop_map(|(at, count)| Op::RemoveRange(at, count)),
        2 => (any::<usize>(), direction, 0usize..4)
            .prop_map(|(at, direction, most)| Op::RemoveEqual(at, direction, most)),
        1 => limits().prop_map(Op::Limits),
    ]
}

/// Removes up to `most` elements that equal `text`, in this direction.
fn remove_from_model(
    model: &mut Vec<Vec<u8>>,
    text: &[u8],
    direction: Direction,
    most: usize,
) -> usize {
    let mut removed = 0;
    let mut keep = |element: &Vec<u8>| {
        let goes = removed < most && element == text;
        removed += usize::from(goes);
        !goes
    };
    match direction {
        Direction::Forward => model.retain(&mut keep),
        Direction::Backward => {
            model.reverse();
            model.retain(&mut keep);
            model.reverse();
        }
    }
    removed
}

fn apply(op: Op, list: &mut List, model: &mut Vec<Vec<u8>>, limits: &mut ListLimits) {
    let len = model.len();
    match op {
        Op::Push(end, texts) => {
            list.push(end, texts.iter().map(Vec::as_slice), *limits);
            for text in texts {
                match end {
                    End::Left => model.insert(0, text),
                    End::Right => model.push(text),
                }
            }
        }
        Op::Pop(end) => {
            let popped = list.pop(end, *limits, copy);
            list.shrink(*limits);
            let expected = match end {
                End::Left => (len > 0).then(|| model.remove(0)),
                End::Right => model.pop(),
            };
            assert_eq!(popped, expected);
        }
        Op::Limits(new) => *limits = new,
        _ if len == 0 => {}
        Op::Set(at, text) => {
            assert!(list.set(at % len, &text, *limits) && !list.set(len, &text, *limits));
            model[at % len] = text;
        }
        Op::Insert(at, side, text) => {
            assert!(list.insert(at % len, side, &text, *limits));
            model.insert(at % len + usize::from(side == Side::After), text);
        }
        Op::RemoveRange(at, count) => {
            let end = (at % len + count).min(len);
            assert_eq!(list.remove_range(at % len, count, *limits), end - at % len);
            model.drain(at % len..end);
        }
        Op::RemoveEqual(at, direction, most) => {
            let text = model[at % len].clone();
            let removed = remove_from_model(model, &text, direction, most);
            assert_eq!(list.remove_equal(&text, direction, most, *limits), removed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn behaves_as_a_sequence(
        mut limits in limits(),
        ops in proptest::collection::vec(op(), 0..120),
    ) {
        let (mut list, mut model) = (List::new(), Vec::new());
        for op in ops {
            apply(op, &mut list, &mut model, &mut limits);
            validate(&list);
            prop_assert_eq!(list.len(), model.len());
        }
        prop_assert_eq!(content(&list, Direction::Forward), model.clone());
        prop_assert_eq!(content(&list.clone(), Direction::Forward), model.clone());
        let mut backwards = content(&list, Direction::Backward);
        backwards.reverse();
        prop_assert_eq!(&backwards, &model);
        for (index, text) in model.iter().enumerate() {
            prop_assert_eq!(at(&list, index as i64), Some(text.clone()));
            let from_end = index as i64 - model.len() as i64;
            prop_assert_eq!(at(&list, from_end), Some(text.clone()));
            let first = model.iter().position(|other| other == text);
            prop_assert_eq!(list.find(text, Direction::Forward), first);
            let last = model.iter().rposition(|other| other == text);
            prop_assert_eq!(list.find(text, Direction::Backward), last);
        }
        prop_assert_eq!(list.with(model.len() as i64, |_| ()), None);
        prop_assert_eq!(list.with(-(model.len() as i64) - 1, |_| ()), None);
    }

    #[test]
    fn an_entry_can_keep_it(texts in proptest::collection::vec(text(), 0..30), limits in limits()) {
        let mut builder = ListBuilder::new(limits);
        texts.iter().for_each(|text| builder.push(text));
        let (form, pointer) = builder.finish().into_parts();
        // SAFETY: the parts are used once.
        let list = unsafe { List::from_parts(form, pointer) };
        prop_assert_eq!(content(&list, Direction::Forward), texts);
    }
}

fn list_of(texts: &[&[u8]], limits: ListLimits) -> List {
    let mut list = List::new();
    texts.iter().for_each(|text| list.push(End::Right, [*text].into_iter(), limits));
    list
}

#[test]
fn encodings_change_as_in_redis() {
    let three = ListLimits::new(3, 0);
    let mut list = list_of(&[b"a", b"b", b"c"], three);
    assert_eq!(list.encoding(), "listpack");
    list.push(End::Right, [b"d".as_slice()].into_iter(), three);
    assert_eq!(list.encoding(), "quicklist");
    assert_eq!(list.remove_range(2, 2, three), 2);
    assert_eq!(list.encoding(), "quicklist", "two elements are more than half of three");
    list.pop(End::Right, three, |_| ());
    list.shrink(three);
    assert_eq!(list.encoding(), "listpack");

    let small = ListLimits::new(-1, 0);
    let large = [b'x'; 4095];
    let mut list = list_of(&[b"a", b"b", &large], small);
    assert_eq!(list.encoding(), "quicklist");
    assert!(list.set(2, b"c", small));
    assert_eq!(list.encoding(), "quicklist", "a node of a and b stands before it");
    list.pop(End::Right, small, |_| ());
    list.shrink(small);
    assert_eq!(list.encoding(), "listpack");

    // Redis asks what the listpack would have if the new element were added to it.
    let mut list = list_of(&[b"a", b"b", b"c"], three);
    assert!(list.set(0, b"x", three));
    assert_eq!(list.encoding(), "quicklist");
}

#[test]
fn a_list_that_is_made_at_once_is_as_small_as_can_be() {
    for (count, encoding) in [(0, "listpack"), (16, "listpack"), (17, "quicklist")] {
        let mut builder = ListBuilder::new(ListLimits::new(16, 0));
        (0..count).for_each(|number: u32| builder.push(number.to_string().as_bytes()));
        assert_eq!(builder.len(), count as usize);
        assert_eq!(builder.finish().encoding(), encoding, "{count}");
    }
}

#[test]
fn nodes_that_are_written_are_kept() {
    let mut listpack = Listpack::new();
    (0..5).for_each(|number| listpack.push_integer(number));
    let mut builder = ListBuilder::new(ListLimits::new(2, 0));
    builder.push_packed(listpack.clone());
    builder.push_packed(Listpack::new());
    builder.push_plain(b"77");
    let list = builder.finish();
    assert_eq!((list.len(), at(&list, -1)), (6, Some(b"77".to_vec())));
    let List::Quick(quick) = &list else { panic!("two nodes") };
    let mut nodes = Vec::new();
    quick.visit_nodes(|node| {
        nodes.push(match node {
            NodeRef::Packed(own) => own == &listpack,
            NodeRef::Plain(text) => text == b"77",
        });
    });
    assert_eq!(nodes, [true, true]);
}

/// Whether each node of a list is compressed.
fn compressed(list: &List) -> Vec<bool> {
    match list {
        List::Packed(_) => vec![],
        List::Quick(list) => list.compressed(),
    }
}

#[test]
fn nodes_far_from_both_ends_are_compressed() {
    let limits = ListLimits::new(1, 2);
    let text = [b'z'; 300];
    let plain = [b'y'; 9000];
    let mut list = list_of(&[&text, &text, &plain, &text, &text, b"short", &text, &text], limits);
    assert_eq!(
        compressed(&list),
        [false, false, true, true, true, false, false, false],
        "short nodes are not worth it"
    );
    let memory = list.memory(0);
    assert!(memory < 3000, "{memory}");
    // A node that comes near an end is unpacked; one that gets away from it is compressed.
    list.pop(End::Left, limits, |_| ());
    assert_eq!(compressed(&list), [false, false, true, true, false, false, false]);
    list.push(End::Left, [text.as_slice(), text.as_slice()].into_iter(), limits);
    assert_eq!(compressed(&list), [false, false, true, true, true, true, false, false, false]);
    // A node that was changed is compressed again, and reading changes nothing.
    assert!(list.set(4, &[b'w'; 400], limits));
    assert_eq!(list.find(&[b'w'; 400], Direction::Backward), Some(4));
    assert!(compressed(&list)[4]);
    // Without compression a node is unpacked when it is changed.
    assert!(list.set(4, &text, ListLimits::new(1, 0)));
    assert!(!compressed(&list)[4]);
}

#[test]
fn noise_is_not_compressed() {
    let mut seed = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    })
    .take(2000)
    .collect();
    let list = list_of(&[&noise, &noise, &noise], ListLimits::new(1, 1));
    assert_eq!(compressed(&list), [false, false, false]);
}

#[test]
fn a_list_of_a_hundred_small_items_takes_little_more_than_they_do() {
    let mut list = List::new();
    for number in 0..100 {
        list.push(
            End::Right,
            [format!("item:{number:04}").as_bytes()].into_iter(),
            ListLimits::default(),
        );
    }
    // 9 bytes of text, encoding and back length each; header and end.
    assert_eq!((list.memory(0), list.encoding()), (100 * 11 + 7, "listpack"));
}

#[test]
fn a_long_list_takes_little_more_than_its_listpacks() {
    let mut list = List::new();
    for number in 0..100_000 {
        list.push(
            End::Right,
            [format!("item:{number:06}").as_bytes()].into_iter(),
            ListLimits::default(),
        );
    }
    let per_element = list.memory(0) as f64 / 100_000.0;
    assert!(per_element < 13.1, "{per_element}");
}
