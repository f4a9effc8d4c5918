//! Captures of lists that are changed meanwhile: they show the list as it was when they began.

use super::*;
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// A step of a capture; whether there is more.
fn step(list: &mut List, budget: usize, shown: &mut Shown) -> bool {
    list.capture_step(budget, &mut |part| match part {
        Part::Length(length) => {
            assert_eq!(shown.length, None, "the length is shown once");
            shown.length = Some(length as usize);
        }
        Part::ListNode(node) => shown.take(node),
        other => panic!("no part of a list: {other:?}"),
    })
}

/// The elements that a capture has shown.
#[derive(Default)]
struct Shown {
    /// How many nodes were announced.
    length: Option<usize>,
    nodes: usize,
    elements: Vec<Vec<u8>>,
}

impl Shown {
    fn take(&mut self, node: NodeRef<'_>) {
        self.nodes += 1;
        match node {
            NodeRef::Plain(text) => self.elements.push(text.to_vec()),
            NodeRef::Packed(pack) => self.elements.extend(pack.iter().map(|text| text.to_vec())),
        }
    }
}

/// A list of many nodes, in the form that can be captured.
fn quick_list(texts: &[Vec<u8>], limits: ListLimits) -> List {
    let mut list = Quicklist::default();
    texts.iter().for_each(|text| list.push(End::Right, text, limits));
    List::Quick(Box::new(list))
}

/// An event of a test.
#[derive(Debug, Clone)]
enum Event {
    /// The list is changed.
    Change(Op),
    /// Many are removed at once, as a trim or a consumer does.
    Trim(usize, usize),
    /// Many are taken from an end.
    Drain(End, usize),
    /// The capture goes on, by this many bytes.
    Step(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => op().prop_map(Event::Change),
        1 => (any::<usize>(), 0usize..80).prop_map(|(at, count)| Event::Trim(at, count)),
        1 => (end(), 0usize..60).prop_map(|(end, count)| Event::Drain(end, count)),
        3 => prop_oneof![Just(0usize), 1usize..400, 400usize..20_000].prop_map(Event::Step),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn it_shows_the_list_as_it_was(
        texts in proptest::collection::vec(text(), 0..80),
        mut limits in limits(),
        events in proptest::collection::vec(event(), 0..80),
    ) {
        let mut list = quick_list(&texts, limits);
        let mut model = texts.clone();
        let (mut shown, mut has_more) = (Shown::default(), true);
        list.begin_capture();
        for event in events {
            match event {
                Event::Change(op) => apply(op, &mut list, &mut model, &mut limits),
                Event::Trim(at, count) => {
                    let at = at % (model.len() + 1);
                    let op = Op::RemoveRange(at, count);
                    apply(op, &mut list, &mut model, &mut limits);
                }
                Event::Drain(end, count) => {
                    (0..count).for_each(|_| apply(Op::Pop(end), &mut list, &mut model, &mut limits));
                }
                Event::Step(budget) if has_more => {
                    let before = shown.elements.len();
                    has_more = step(&mut list, budget, &mut shown);
                    prop_assert!(!has_more || shown.elements.len() > before);
                    prop_assert_eq!(has_more, shown.elements.len() < texts.len());
                    prop_assert_eq!(&shown.elements, &texts[..shown.elements.len()]);
                }
                Event::Step(_) => {}
            }
            validate(&list);
            prop_assert_eq!(list.len(), model.len());
            prop_assert_eq!(list.encoding(), "quicklist");
        }
        prop_assert_eq!(content(&list, Direction::Forward), model.clone());
        while has_more {
            has_more = step(&mut list, 1000, &mut shown);
            validate(&list);
        }
        prop_assert_eq!(shown.length, Some(shown.nodes));
        prop_assert_eq!(shown.elements, texts);
        drop(list.end_capture());
        prop_assert_eq!(content(&list, Direction::Forward), model);
    }
}

fn numbers(range: std::ops::Range<usize>) -> Vec<Vec<u8>> {
    range.map(|number| format!("item:{number:08}").into_bytes()).collect()
}

/// Shows what is left, in steps of 64 KiB.
fn show_all(list: &mut List) -> Vec<Vec<u8>> {
    let mut shown = Shown::default();
    while step(list, 65_536, &mut shown) {}
    shown.elements
}

#[test]
fn a_step_shows_about_as_much_as_it_is_asked_for() {
    const BUDGET: usize = 20_000;
    let texts = numbers(0..30_000);
    let mut list = quick_list(&texts, ListLimits::default());
    list.begin_capture();
    let (mut shown, mut nodes) = (Shown::default(), 0);
    while step(&mut list, BUDGET, &mut shown) {
        // Nodes are of 8 KiB.
        assert!((1..=3).contains(&(shown.nodes - nodes)), "{} nodes", shown.nodes - nodes);
        nodes = shown.nodes;
    }
    assert_eq!(shown.elements, texts);
}

#[test]
fn a_copy_is_not_captured() {
    let texts = numbers(0..3000);
    let mut list = quick_list(&texts, ListLimits::default());
    list.begin_capture();
    let mut copy = list.clone();
    copy.remove_range(0, 2999, ListLimits::default());
    assert_eq!(copy.encoding(), "listpack", "it shrinks");
    assert_eq!(show_all(&mut list), texts);
}

#[test]
fn a_list_that_is_captured_is_no_listpack_until_the_capture_has_ended() {
    let (texts, limits) = (numbers(0..3000), ListLimits::default());
    let mut list = quick_list(&texts, limits);
    assert!(list.is_capturable() && !List::new().is_capturable());
    list.begin_capture();
    list.remove_range(1, 2999, limits);
    assert_eq!(list.encoding(), "quicklist");
    assert!(list.pop(End::Left, limits, |_| ()).is_some());
    list.push(End::Left, [b"new".as_slice()].into_iter(), limits);
    assert_eq!(show_all(&mut list), texts);
    drop(list.end_capture());
    list.shrink(limits);
    assert_eq!(list.encoding(), "listpack");
    assert_eq!(content(&list, Direction::Forward), [b"new"]);
}

#[test]
fn a_list_can_be_captured_again() {
    let (texts, limits) = (numbers(0..3000), ListLimits::default());
    let mut list = quick_list(&texts, limits);
    drop(list.end_capture());
    list.begin_capture();
    list.remove_range(0, 1000, limits);
    drop(list.end_capture());
    list.begin_capture();
    list.remove_range(0, 1000, limits);
    assert_eq!(show_all(&mut list), texts[1000..]);
}

#[test]
fn large_elements_are_moved_aside_and_not_copied() {
    let limits = ListLimits::default();
    let texts: Vec<_> = (0..4u8).map(|byte| vec![byte; 100_000]).collect();
    let mut list = quick_list(&texts, limits);
    let address = |element: Element<'_>| match element {
        Element::Bytes(bytes) => bytes.as_ptr() as usize,
        Element::Integer(_) => 0,
    };
    let mut before = Vec::new();
    list.visit(0, Direction::Forward, |element| {
        before.push(address(element));
        ControlFlow::<()>::Continue(())
    });
    list.begin_capture();
    assert!(list.set(1, &[9; 100_000], limits) && list.set(2, b"small", limits));
    list.pop(End::Right, limits, |_| ());
    let mut after = Vec::new();
    while list.capture_step(0, &mut |part| {
        if let Part::ListNode(NodeRef::Plain(text)) = part {
            after.push(text.as_ptr() as usize);
        }
    }) {}
    assert_eq!(before, after);
}

/// How long it takes.
fn time(what: impl FnOnce()) -> Duration {
    let begin = Instant::now();
    what();
    begin.elapsed()
}

const MANY: usize = 1_000_000;
/// A multiple of what each takes, and a small part of what it would if its time were that of the
/// whole list.
const SOON: Duration = Duration::from_millis(500);

#[test]
fn beginning_and_changing_both_ends_takes_no_longer_for_a_long_list() {
    // A million nodes.
    let (texts, limits) = (numbers(0..MANY), ListLimits::new(1, 0));
    let mut list = quick_list(&texts, limits);
    let took = time(|| {
        list.begin_capture();
        for end in [End::Left, End::Right].repeat(10_000) {
            list.pop(end, limits, |_| ());
            list.push(end, [b"new".as_slice()].into_iter(), limits);
            list.pop(end, limits, |_| ());
        }
    });
    assert!(took < SOON, "{took:?}");
    assert_eq!(list.len(), MANY - 20_000);
    assert!(show_all(&mut list) == texts);
}

#[test]
fn trimming_moves_nodes_aside() {
    let (texts, limits) = (numbers(0..MANY), ListLimits::new(8, 0));
    let mut list = quick_list(&texts, limits);
    list.begin_capture();
    let took = time(|| {
        list.remove_range(10, MANY / 2, limits);
        list.remove_range(10, MANY / 2 - 20, limits);
    });
    assert!(took < SOON, "{took:?}");
    assert_eq!(content(&list, Direction::Forward).len(), 20);
    assert!(show_all(&mut list) == texts);
}

#[test]
fn a_list_that_is_changed_everywhere_is_described_by_its_nodes() {
    let (texts, limits) = (numbers(0..MANY), ListLimits::default());
    let mut list = quick_list(&texts, limits);
    list.begin_capture();
    let took = time(|| {
        for number in 0..50_000 {
            assert!(list.set(number * 7_919 % MANY, b"new", limits));
        }
    });
    assert!(took < 2 * SOON, "{took:?}");
    let List::Quick(quick) = &list else { panic!("it is captured") };
    assert!(quick.runs() <= quick.nodes());
    validate(&list);
    assert!(show_all(&mut list) == texts);
}

#[test]
fn steps_find_their_way_through_many_runs() {
    // Every other node of a hundred thousand is kept aside.
    let (texts, limits) = (numbers(0..100_000), ListLimits::new(1, 0));
    let mut list = quick_list(&texts, limits);
    list.begin_capture();
    (0..100_000).step_by(2).for_each(|number| assert!(list.set(number, b"new", limits)));
    let mut shown = Vec::new();
    let took = time(|| shown = show_all(&mut list));
    assert!(took < SOON, "{took:?}");
    assert!(shown == texts);
}

/// How many times as long as without a capture something takes that is done to a list in which
/// every `each`th element is "gone".
fn times_as_long(each: usize, limits: ListLimits, what: impl Fn(&mut List)) -> f64 {
    let mut texts = numbers(0..MANY);
    texts.iter_mut().step_by(each).for_each(|text| *text = b"gone".to_vec());
    let mut list = quick_list(&texts, limits);
    let mut copy = list.clone();
    let without = time(|| what(&mut copy));
    list.begin_capture();
    let with = time(|| what(&mut list));
    validate(&list);
    assert!(show_all(&mut list) == texts);
    with.as_secs_f64() / without.as_secs_f64()
}

#[test]
fn removing_what_is_equal_goes_from_node_to_node() {
    // Whole nodes are moved aside in one, and nodes copied in the other.
    for (elements, each) in [(1, 2), (8, 16)] {
        for direction in [Direction::Forward, Direction::Backward] {
            let limits = ListLimits::new(elements, 0);
            let times = times_as_long(each, limits, |list| {
                assert_eq!(list.remove_equal(b"gone", direction, MANY, limits), MANY / each);
            });
            assert!(times < 12.0, "{elements} an element, {direction:?}: {times:.1} times");
        }
    }
}

#[test]
fn what_is_changed_anywhere_finds_its_run_soon() {
    let limits = ListLimits::new(8, 0);
    let times = times_as_long(2, limits, |list| {
        let mut number = 1u64;
        for _ in 0..50_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            assert!(list.set((number >> 33) as usize % MANY, b"new", limits));
        }
    });
    assert!(times < 8.0, "{times:.1} times");
}
