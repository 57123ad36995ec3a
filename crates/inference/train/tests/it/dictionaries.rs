//! The installed dictionaries and the lists the shipped adapters were trained on.

use std::{collections::HashSet, path::Path};

use tributary_train::{
    Recipe,
    corpus::{Selection, Source, deal, dictd},
};

pub(crate) fn adapter_folder(source: Source) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../adapters").join(source.adapter())
}

#[test]
fn every_entry_of_both_dictionaries_is_read_and_cleaned() {
    for (source, at_least) in [(Source::Devil, 950), (Source::Jargon, 2200)] {
        let documents =
            source.documents(Path::new(dictd::DEBIAN_FOLDER)).expect("make setup installs the dictionaries");
        assert!(documents.len() > at_least, "{source:?}: {}", documents.len());
        for document in &documents {
            assert_eq!(document.text, document.text.trim());
            assert!(!document.text.contains("  ") && !document.text.contains('\t'), "{document:?}");
            assert!(!document.headword.is_empty());
        }
    }
}

#[test]
fn known_entries_read_as_they_should() {
    let folder = Path::new(dictd::DEBIAN_FOLDER);
    let text = |source: Source, headword: &str| {
        let documents = source.documents(folder).unwrap();
        documents.into_iter().find(|d| d.headword == headword).unwrap().text
    };
    assert_eq!(
        text(Source::Devil, "abasement"),
        "Abasement: A decent and customary mental attitude in the presence of wealth of power. Peculiarly appropriate in an employee \
         when addressing an employer."
    );
    assert_eq!(
        text(Source::Jargon, "barfmail"),
        "Barfmail: Multiple bounce messages accumulating to the level of serious annoyance, or worse. The sort of thing that happens \
         when an inter-network mail gateway goes down or wonky."
    );
}

#[test]
fn the_lists_of_the_shipped_adapters_are_in_the_dictionaries() {
    for source in [Source::Devil, Source::Jargon] {
        let folder = adapter_folder(source);
        let selection = Selection::read(&folder.join("headwords.json")).unwrap();
        assert_eq!(selection.source, source);
        assert_eq!((selection.train.len(), selection.evaluate.len()), (120, 40));
        assert_eq!(selection.train.iter().collect::<HashSet<_>>().len(), 120);
        let documents = selection.documents(Path::new(dictd::DEBIAN_FOLDER)).unwrap();
        assert_eq!(deal(&documents, 6).iter().map(Vec::len).sum::<usize>(), 120);
        let recipe = Recipe::read(&folder.join("recipe.json")).unwrap();
        assert!(recipe.held_out.iter().all(|question| !recipe.questions.contains(question)));
    }
}
