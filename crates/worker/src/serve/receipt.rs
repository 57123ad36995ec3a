//! The `tributary` field of a reply.

use alloy_primitives::{Address, Bytes, U128};
use tributary_api::types::{Receipt, ShareView, SpanView};
use tributary_engine::Outcome;
use tributary_record::{
    Share, Span,
    fees::{share_amount, split},
};
use tributary_trace::{Trace, display::show};

use super::meter::RequestMeter;

/// What was paid, for which data, under whose signature.
pub(super) async fn receipt(
    meter: &RequestMeter,
    outcome: &Outcome,
    traced: &Trace,
    fee: u128,
    signature: Option<Bytes>,
) -> Receipt {
    let mut spans = Vec::with_capacity(traced.spans.len());
    for span in &traced.spans {
        spans.push(span_view(meter, span).await);
    }
    let request = &meter.request;
    Receipt {
        request_id: request.request_id,
        channel: meter.payment.as_ref().map(|payment| payment.channel).unwrap_or_default(),
        agent_id: meter.agent.unwrap_or_default(),
        model_id: request.model_id,
        adapter_id: request.adapter_id,
        l2_block: request.l2_block,
        in_tokens: request.n_in,
        out_tokens: outcome.tokens.len() as u32,
        output: outcome.tokens.clone(),
        fee: U128::from(fee),
        spans,
        shares: traced.shares.iter().map(|share| share_view(meter, share, fee)).collect(),
        unattributed_ppb: traced.unattributed_ppb,
        profile_hash: meter.shared.base.local.profile,
        exec_hash: outcome.exec_hash,
        logits_root: outcome.logits_root,
        sampling: outcome.sampling.clone().into(),
        request_hash: request.hash(),
        signature,
    }
}

async fn span_view(meter: &RequestMeter, span: &Span) -> SpanView {
    let mut view = SpanView {
        start: span.start,
        len: span.len,
        contribution_id: span.contribution,
        offset: span.offset,
        ..SpanView::default()
    };
    if let Some(source) = meter.shared.corpus.text(span.contribution).await
        && let Some(shown) = show(span, &source.positions, &source.text)
    {
        view.text = shown.text;
        view.source_start = Some(shown.range.start as u64);
        view.source_end = Some(shown.range.end as u64);
    }
    view.source = contribution(meter, span.contribution).map(|contribution| contribution.uri);
    view
}

/// For display; the chain that settles computes the same from the record.
fn share_view(meter: &RequestMeter, share: &Share, fee: u128) -> ShareView {
    let delta = meter
        .terms
        .and_then(|terms| split(fee, &terms.split, meter.request.adapter_id != 0).ok())
        .map_or(0, |parts| parts.contributors);
    ShareView {
        contribution_id: share.contribution,
        contributor: contribution(meter, share.contribution).map_or(Address::ZERO, |found| found.contributor),
        ppb: share.ppb,
        amount: U128::from(share_amount(delta, share.ppb).unwrap_or_default()),
    }
}

fn contribution(meter: &RequestMeter, id: u64) -> Option<tributary_abi::IDatanets::Contribution> {
    meter.shared.registry.contribution(id).ok().flatten()
}
