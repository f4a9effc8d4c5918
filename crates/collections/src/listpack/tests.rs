//! The listpack against a plain vector.

use super::*;
use crate::Digits;
use proptest::prelude::*;

fn content(listpack: &Listpack) -> Vec<Vec<u8>> {
    listpack.iter().map(Element::to_vec).collect()
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        (-70_000i64..70_000).prop_map(|n| n.to_string().into_bytes()),
        (-10i64..140).prop_map(|n| n.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..80),
        (0usize..20_000).prop_map(|len| vec![b'x'; len]),
    ]
}

#[derive(Debug, Clone)]
enum Op {
    Push(Vec<u8>),
    PushFront(Vec<u8>),
    InsertBefore(usize, Vec<u8>),
    InsertAfter(usize, Vec<u8>),
    Replace(usize, Vec<u8>),
    Remove(usize),
    RemoveRange(usize, usize),
    SplitAndAppend(usize),
    Extend(Vec<Vec<u8>>),
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0usize..40;
    prop_oneof![
        text().prop_map(Op::Push),
        text().prop_map(Op::PushFront),
        (at.clone(), text()).prop_map(|(at, text)| Op::InsertBefore(at, text)),
        (at.clone(), text()).prop_map(|(at, text)| Op::InsertAfter(at, text)),
        (at.clone(), text()).prop_map(|(at, text)| Op::Replace(at, text)),
        at.clone().prop_map(Op::Remove),
        (at.clone(), 0usize..5).prop_map(|(at, count)| Op::RemoveRange(at, count)),
        at.prop_map(Op::SplitAndAppend),
        proptest::collection::vec(text(), 0..4).prop_map(Op::Extend),
    ]
}

fn apply(op: Op, listpack: &mut Listpack, model: &mut Vec<Vec<u8>>) {
    let place = |listpack: &Listpack, at: usize| {
        (!listpack.is_empty()).then(|| {
            let at = at % listpack.len();
            (at, listpack.seek(at as i64).expect("within"))
        })
    };
    match op {
        Op::Push(text) => {
            listpack.push(&text);
            model.push(text);
        }
        Op::Extend(texts) => {
            assert!(listpack.extend(texts.iter().map(|text| Element::Bytes(text))));
            model.extend(texts);
        }
        Op::PushFront(text) => {
            listpack.push_front(&text);
            model.insert(0, text);
        }
        Op::InsertBefore(at, text) => {
            let Some((at, position)) = place(listpack, at) else { return };
            let new = listpack.insert_before(position, &text);
            assert_eq!(listpack.get(new).to_vec(), text);
            model.insert(at, text);
        }
        Op::InsertAfter(at, text) => {
            let Some((at, position)) = place(listpack, at) else { return };
            let new = listpack.insert_after(position, &text);
            assert_eq!(listpack.get(new).to_vec(), text);
            model.insert(at + 1, text);
        }
        Op::Replace(at, text) => {
            let Some((at, position)) = place(listpack, at) else { return };
            listpack.replace(position, &text);
            model[at] = text;
        }
        Op::Remove(at) => {
            let Some((at, position)) = place(listpack, at) else { return };
            let next = listpack.remove(position).map(|next| listpack.get(next).to_vec());
            model.remove(at);
            assert_eq!(next.as_ref(), model.get(at));
        }
        Op::RemoveRange(at, count) => {
            let Some((at, position)) = place(listpack, at) else { return };
            let end = (at + count).min(model.len());
            assert_eq!(listpack.remove_range(position, count), end - at);
            model.drain(at..end);
        }
        Op::SplitAndAppend(at) => {
            let Some((at, position)) = place(listpack, at) else { return };
            let rest = listpack.split_off(position);
            assert_eq!(content(listpack), model[..at]);
            assert_eq!(content(&rest), model[at..]);
            listpack.append(&rest);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn behaves_as_a_sequence(ops in proptest::collection::vec(op(), 0..80)) {
        let (mut listpack, mut model) = (Listpack::new(), Vec::new());
        for op in ops {
            apply(op, &mut listpack, &mut model);
            prop_assert_eq!(listpack.len(), model.len());
            prop_assert_eq!(listpack.is_empty(), model.is_empty());
            let again = Listpack::from_bytes(listpack.as_bytes());
            prop_assert_eq!(again.as_ref(), Ok(&listpack));
        }
        prop_assert_eq!(content(&listpack), model.clone());
        let backwards: Vec<_> = listpack.iter().rev().map(Element::to_vec).collect();
        prop_assert_eq!(backwards, model.iter().rev().cloned().collect::<Vec<_>>());
        for (index, text) in model.iter().enumerate() {
            let at = listpack.seek(index as i64).expect("it is there");
            let through: Vec<_> = listpack.iter_through(at).rev().map(Element::to_vec).collect();
            prop_assert_eq!(through, model[..=index].iter().rev().cloned().collect::<Vec<_>>());
            prop_assert_eq!(listpack.get(at).to_vec(), text.clone());
            prop_assert_eq!(listpack.get(at).text_len(), text.len());
            prop_assert_eq!(listpack.seek(index as i64 - model.len() as i64), Some(at));
            let first = model.iter().position(|other| other == text).expect("it is there");
            prop_assert_eq!(listpack.find(listpack.first(), text, 0), listpack.seek(first as i64));
            let even = model.iter().step_by(2).position(|other| other == text);
            let found = listpack.find(listpack.first(), text, 1);
            prop_assert_eq!(found, even.and_then(|even| listpack.seek(2 * even as i64)));
        }
        prop_assert_eq!(listpack.find(listpack.first(), b"not there", 0), None);
        prop_assert_eq!(listpack.seek(model.len() as i64), None);
    }

    #[test]
    fn hostile_bytes_are_refused_or_readable(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ops in proptest::collection::vec(op(), 0..10),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let _ = Listpack::from_bytes(&bytes);
        let mut listpack = Listpack::new();
        for op in ops {
            let mut model = content(&listpack);
            apply(op, &mut listpack, &mut model);
        }
        bytes = listpack.as_bytes().to_vec();
        for (index, byte) in flips {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(listpack) = Listpack::from_bytes(&bytes) {
            prop_assert_eq!(listpack.iter().count(), listpack.iter().rev().count());
        }
    }

    #[test]
    fn digits_are_those_of_the_number(number: i64) {
        let (mut digits, text) = (Digits::default(), number.to_string());
        prop_assert_eq!(digits.format(number), text.as_bytes());
    }
}

#[test]
fn the_bytes_are_those_of_redis() {
    // DUMP of a list with RPUSH l a 1 -5000 (Redis 7.0), without the frame around the listpack.
    let mut listpack = Listpack::new();
    listpack.push(b"a");
    listpack.push(b"1");
    listpack.push(b"-5000");
    assert_eq!(
        listpack.as_bytes(),
        [16, 0, 0, 0, 3, 0, 0x81, b'a', 2, 1, 1, 0xf1, 0x78, 0xec, 3, 255]
    );
}

#[test]
fn more_elements_than_the_header_counts() {
    let mut listpack = Listpack::new();
    for _ in 0..70_000 {
        listpack.push(b"7");
    }
    assert_eq!(listpack.len(), 70_000);
    assert_eq!(listpack.count(), UNCOUNTED);
    let at = listpack.seek(10).expect("it is there");
    assert_eq!(listpack.remove_range(at, 69_000), 69_000);
    assert_eq!((listpack.len(), listpack.count()), (1_000, 1_000));
}

#[test]
fn canonical_integers() {
    for number in [0, 1, -1, 10, i64::MAX, i64::MIN, i64::MIN + 1, 999, -1000] {
        assert_eq!(canonical_integer(number.to_string().as_bytes()), Some(number));
    }
    for text in [
        "",
        "-",
        "+1",
        "01",
        "-0",
        "1 ",
        " 1",
        "9223372036854775808",
        "-9223372036854775809",
        "99999999999999999999",
        "1a",
    ] {
        assert_eq!(canonical_integer(text.as_bytes()), None, "{text}");
    }
}
