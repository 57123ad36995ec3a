use crate::world::*;
use alloy_primitives::{Address, B256, Bytes};
use tributary_record::*;

const PLACE: BatchPlace = BatchPlace { agent_id: AGENT, seq: 6, commit_block: 120 };

fn run(view: &MemoryView, prior: Prior, record: &Record, tree: &PayoutTree) -> Result<(), CheckError> {
    let bytes = record.encode().expect("a record within bounds").len();
    let context = RecordContext { place: PLACE, prior, bytes };
    check_record(view, &context, record, &mut tree.clone())
}

fn fault(view: &MemoryView, record: &Record) -> Fault {
    let tree = PayoutTree::default();
    let prior = Prior::head(tree.root(), tree.n_accounts());
    match run(view, prior, record, &tree).expect_err("a record that must not pass") {
        CheckError::Fault(fault) => fault,
        other => panic!("{other}"),
    }
}

fn good(view: &MemoryView) -> Record {
    let mut tree = PayoutTree::default();
    let prior = Prior::head(tree.root(), 0);
    settled(view, &prior, &mut tree, record(1, 1))
}

#[test]
fn two_records_in_a_row_hold_and_credit_what_was_paid() {
    let view = view();
    let mut tree = PayoutTree::default();
    let mut prior = Prior::head(tree.root(), 0);
    let mut drafts = [record(1, 1), record(1, 2), record(2, 1)];
    drafts.sort_by_key(Record::key);
    for draft in drafts {
        let before = tree.clone();
        let done = settled(&view, &prior, &mut tree, draft);
        run(&view, prior, &done, &before).unwrap();
        prior = Prior::after(&done);
    }
    assert!(prior.totals.balanced());
    let credited: u128 = tree.accounts().iter().map(|account| account.1).sum();
    assert_eq!(credited, prior.totals.model + prior.totals.contributors);
}

#[test]
fn a_witness_judges_as_the_whole_tree_does() {
    let view = view();
    let mut tree = PayoutTree::default();
    let first = settled(&view, &Prior::head(tree.root(), 0), &mut tree, record(1, 1));
    let before = tree.clone();
    let second = settled(&view, &Prior::after(&first), &mut tree, record(1, 2));
    let accounts: Vec<Address> = second.payees.iter().map(|payee| payee.account).collect();
    let bytes = second.encode().unwrap().len();
    let context = RecordContext { place: PLACE, prior: Prior::after(&first), bytes };
    check_record(&view, &context, &second, &mut before.witness(&accounts).unwrap()).unwrap();
    let short = check_record(&view, &context, &second, &mut before.witness(&accounts[1..]).unwrap());
    assert!(matches!(short, Err(CheckError::Witness(_))));
}

#[test]
fn a_model_without_adapter_pays_its_owner_and_the_treasury() {
    let view = view();
    let mut plain = record(1, 1);
    plain.adapter_id = 0;
    plain.sources.clear();
    plain.spans.clear();
    plain.shares.clear();
    plain.unattributed_ppb = BILLION;
    resign(&mut plain, 1);
    let mut tree = PayoutTree::default();
    let prior = Prior::head(tree.root(), 0);
    let done = settled(&view, &prior, &mut tree, plain);
    run(&view, prior, &done, &PayoutTree::default()).unwrap();
    assert_eq!(done.payees.len(), 1);
    assert_eq!(done.totals.contributors, 0);
    assert!(done.totals.treasury > 0);
}

#[test]
fn payments_off_moves_nothing_and_still_traces() {
    let view = view();
    let mut free = record(1, 1);
    free.channel = B256::ZERO;
    free.signature = Bytes::new();
    (free.max_fee, free.cumulative) = (0, 0);
    let mut tree = PayoutTree::default();
    let prior = Prior::head(tree.root(), 0);
    let done = settled(&view, &prior, &mut tree, free);
    run(&view, prior, &done, &PayoutTree::default()).unwrap();
    assert_eq!((done.fee, done.payees.len(), done.shares.len()), (0, 0, 2));
    for change in [
        (|record: &mut Record| record.fee = 1) as fn(&mut Record),
        |record| record.max_fee = 1,
        |record| record.cumulative = 1,
        |record| record.signature = vec![0; 65].into(),
    ] {
        let mut other = done.clone();
        change(&mut other);
        assert!(matches!(fault(&view, &other), Fault::Unpaid(_)));
    }
}

/// Every field that must hold, changed one at a time.
#[test]
fn any_wrong_field_is_named() {
    let view = view();
    let base = good(&view);
    let changed = |change: &dyn Fn(&mut Record), signed: bool| {
        let mut other = base.clone();
        change(&mut other);
        if signed {
            resign(&mut other, 1);
        }
        fault(&view, &other)
    };
    assert_eq!(changed(&|r| r.chain_id += 1, true), Fault::Place("chainId"));
    assert_eq!(changed(&|r| r.agent_id += 1, true), Fault::Place("agentId"));
    assert_eq!(changed(&|r| r.batch_seq += 1, true), Fault::Place("batchSeq"));
    assert_eq!(changed(&|r| r.privacy = 1, true), Fault::Privacy(1));
    assert!(matches!(changed(&|r| r.l2_block = 120, true), Fault::Age { .. }));
    assert!(matches!(changed(&|r| r.l2_block = 69, true), Fault::Age { from: 70, .. }));
    assert!(matches!(changed(&|r| r.channel = channel(4, 1), true), Fault::Channel(_)));
    assert!(matches!(changed(&|r| r.channel = B256::repeat_byte(9), true), Fault::Channel(_)));
    assert!(matches!(changed(&|r| r.channel = channel(AGENT, 2), false), Fault::Signer { .. }));
    assert!(matches!(changed(&|r| r.request_id = B256::repeat_byte(1), false), Fault::Signer { .. }));
    assert!(matches!(changed(&|r| r.body_hash = B256::ZERO, false), Fault::Signer { .. }));
    assert!(matches!(changed(&|r| r.n_in += 1, false), Fault::Signer { .. }));
    assert!(matches!(changed(&|r| r.cumulative += 1, false), Fault::Signer { .. }));
    assert!(matches!(changed(&|r| r.signature = Bytes::new(), false), Fault::Signature(_)));
    assert!(matches!(changed(&|r| r.cumulative = r.max_fee - 1, true), Fault::Cap { .. }));
    assert_eq!(changed(&|r| r.model_id = 77, true), Fault::Model(77));
    assert_eq!(changed(&|r| r.adapter_id = 77, true), Fault::Model(77));
    assert_eq!(changed(&|r| r.adapter_id = 7, true), Fault::Retired(7));
    assert_eq!(changed(&|r| r.adapter_id = 8, true), Fault::AdapterBase(8));
    assert_eq!(changed(&|r| (r.model_id, r.adapter_id) = (9, 0), true), Fault::Retired(9));
    assert_eq!(changed(&|r| r.sources[0].epoch = 1, true), Fault::Registry("sources"));
    assert_eq!(changed(&|r| r.sources.clear(), true), Fault::Registry("sources"));
    assert_eq!(changed(&|r| r.tokenizer_hash = B256::ZERO, true), Fault::Registry("tokenizerHash"));
    assert_eq!(changed(&|r| r.profile_hash = B256::ZERO, true), Fault::Registry("profileHash"));
    assert_eq!(changed(&|r| r.algo_id = B256::ZERO, true), Fault::Registry("algoId"));
    assert!(matches!(changed(&|r| r.n_in += 1, true), Fault::Fee { .. }));
    assert!(matches!(changed(&|r| r.output.push(1), true), Fault::Shares));
    assert!(matches!(changed(&|r| r.fee += 1, true), Fault::Fee { .. }));
    assert!(matches!(changed(&|r| r.max_fee = r.fee - 1, true), Fault::MaxFee { .. }));
    assert_eq!(changed(&|r| r.spans[0].contribution = contribution_id(5, 3), true), Fault::Outside(0));
    assert_eq!(changed(&|r| r.spans[0].contribution = contribution_id(5, 4), true), Fault::Outside(0));
    assert_eq!(changed(&|r| r.spans[0].contribution = contribution_id(6, 0), true), Fault::Outside(0));
    assert_eq!(changed(&|r| r.spans[1].offset = 981, true), Fault::PastContribution(1));
    assert!(matches!(changed(&|r| r.spans[0].len = 7, true), Fault::Spans(SpanFault::Short(0))));
    assert!(matches!(changed(&|r| r.spans[2].start = 38, true), Fault::Spans(SpanFault::Bounds(2))));
    assert!(matches!(changed(&|r| r.spans.swap(0, 1), true), Fault::Spans(SpanFault::Order(1))));
    assert_eq!(changed(&|r| r.spans[2].len = 10, true), Fault::Shares);
    assert_eq!(changed(&|r| r.shares[0].ppb += 1, true), Fault::Shares);
    assert_eq!(changed(&|r| r.shares.swap(0, 1), true), Fault::Shares);
    assert!(matches!(changed(&|r| r.unattributed_ppb += 1, true), Fault::Unattributed { .. }));
    assert_eq!(changed(&|r| r.payees[0].amount += 1, true), Fault::Payees);
    assert_eq!(changed(&|r| r.payees[0].index += 9, true), Fault::Payees);
    assert_eq!(changed(&|r| r.payees[0].account = Address::ZERO, true), Fault::Payees);
    assert_eq!(changed(&|r| r.payees.swap(0, 1), true), Fault::Payees);
    assert_eq!(changed(&|r| r.channel_spent += 1, true), Fault::Running("channelSpent"));
    assert_eq!(changed(&|r| r.totals.treasury += 1, true), Fault::Running("totals"));
    assert_eq!(changed(&|r| r.payout_root = B256::ZERO, true), Fault::Running("payoutRoot"));
    assert_eq!(changed(&|r| r.n_accounts += 1, true), Fault::Running("nAccounts"));
}

#[test]
fn order_repetition_and_size_are_checked() {
    let mut view = view();
    let done = good(&view);
    let tree = PayoutTree::default();
    let mut prior = Prior::head(tree.root(), 0);
    prior.key = Some(done.key());
    let twice = run(&view, prior, &done, &tree).unwrap_err();
    assert_eq!(twice.fault(), Some(&Fault::Order));
    view.recorded.insert(done.key());
    assert_eq!(fault(&view, &done), Fault::Repeated);
    view.recorded.clear();
    view.params.values_mut().for_each(|params| params.max_record_bytes = 100);
    assert!(matches!(fault(&view, &done), Fault::RecordBytes { max: 100, .. }));
    view.params.values_mut().for_each(|params| {
        params.max_record_bytes = 65_536;
        params.bounds = TraceBounds::new(2, 34);
    });
    assert_eq!(fault(&view, &done), Fault::TooManySpans { got: 3, max: 2 });
    view.params.values_mut().for_each(|params| params.bounds = TraceBounds::new(512, 3));
    assert_eq!(fault(&view, &done), Fault::Shares);
    view.params.clear();
    let unread = run(&view, Prior::head(tree.root(), 0), &done, &tree);
    assert!(matches!(unread, Err(CheckError::View(_))));
}

#[test]
fn a_record_is_judged_by_the_rates_of_its_block() {
    let mut view = view();
    let done = good(&view);
    let mut dearer = view.adapters[&(ADAPTER, 0)].clone();
    dearer.rates.output *= 2;
    view.adapters.insert((ADAPTER, 101), dearer.clone());
    run(&view, Prior::head(PayoutTree::default().root(), 0), &done, &PayoutTree::default()).unwrap();
    view.adapters.insert((ADAPTER, 100), dearer);
    assert!(matches!(fault(&view, &done), Fault::Fee { .. }));
}
