use crate::support::{document, pin, spec};
use std::fs;
use tributary_index::{Identity, IndexError, Segment, Store, build};

#[test]
fn damaged_files_are_refused_and_built_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, texts) = spec(&[vec![(1, 1, (0..500).collect())]]);
    let path = Store::open(folder.path()).unwrap().path(1, Identity::of(&spec.epochs[0]));
    drop(pin(&Store::open(folder.path()).unwrap(), &spec, &texts));
    let sound = fs::read(&path).unwrap();

    let damage: Vec<Vec<u8>> = (0..sound.len())
        .step_by(97)
        .map(|at| {
            let mut bytes = sound.clone();
            bytes[at] ^= 0x40;
            bytes
        })
        .chain((0..sound.len()).step_by(211).map(|len| sound[..len].to_vec()))
        .chain([[sound.clone(), vec![0]].concat()])
        .collect();
    for (at, bytes) in damage.into_iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        match Segment::open(&path) {
            Err(IndexError::Corrupt { .. }) => {}
            Ok(_) => panic!("damage {at} went unseen"),
            Err(other) => panic!("{other}"),
        }
    }
    fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    let pinned = pin(&Store::open(folder.path()).unwrap(), &spec, &texts);
    assert_eq!(pinned.find(&[3, 4, 5]).unwrap().found.offset, 3);
    assert_eq!(fs::read(&path).unwrap(), sound);
}

#[test]
fn a_sound_file_is_opened_without_its_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let (spec, texts) = spec(&[vec![(1, 1, vec![1, 2, 3])]]);
    drop(pin(&Store::open(folder.path()).unwrap(), &spec, &texts));
    let store = Store::open(folder.path()).unwrap();
    store.pin(&spec, &mut |_| Err("no tokens here".into())).unwrap();
}

#[test]
fn a_file_of_other_contributions_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (first, texts) = spec(&[vec![(1, 1, vec![1, 2, 3])]]);
    let (second, other) = spec(&[vec![(1, 1, vec![4, 5, 6])]]);
    let store = Store::open(folder.path()).unwrap();
    drop(pin(&store, &first, &texts));
    fs::copy(store.path(1, Identity::of(&first.epochs[0])), store.path(1, Identity::of(&second.epochs[0])))
        .unwrap();
    assert!(pin(&store, &second, &other).find(&[4, 5]).is_some());
}

#[test]
fn tokens_that_are_not_on_chain_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (spec, _) = spec(&[vec![(7, 1, vec![1, 2, 3])]]);
    let wrong = store.pin(&spec, &mut |_| Ok(vec![1, 2, 4]));
    assert!(matches!(wrong, Err(IndexError::WrongTokens(7))));
    let short = store.pin(&spec, &mut |_| Ok(vec![1, 2]));
    assert!(matches!(short, Err(IndexError::WrongTokens(7))));
    let missing = store.pin(&spec, &mut |_| Err("unreachable".into()));
    assert!(matches!(missing, Err(IndexError::Load { contribution: 7, .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_contribution_stands_once_in_a_segment() {
    let one = document(1, 1, &[1]);
    assert!(matches!(build(vec![(one, vec![1]), (one, vec![1])]), Err(IndexError::Twice(1))));
}

#[test]
fn what_an_interrupted_build_left_is_cleared_and_unused_files_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".building-1234"), b"half").unwrap();
    let store = Store::open(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let (first, texts) = spec(&[vec![(1, 1, vec![1, 2, 3])]]);
    let (second, other) = spec(&[vec![(2, 1, vec![4, 5, 6])]]);
    let open = pin(&store, &first, &texts);
    drop(pin(&store, &second, &other));
    assert_eq!(store.sweep(std::slice::from_ref(&second)).unwrap(), 0);
    assert_eq!(store.sweep(&[]).unwrap(), 1);
    drop(open);
    assert_eq!(store.sweep(&[]).unwrap(), 1);
}
