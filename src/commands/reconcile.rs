//! `rentcar reconcile`: whether our payments and the provider's own record say the same. A running service is asked to
//! compare; without one the store is read here. The report is the same.

use super::maintenance::{Data, progress};
use super::running::{Caller, Running, ServiceUrl};
use super::settings::remote_provider;
use super::{block_on, print_line};
use anyhow::Context as _;
use clap::Args;
use rentcar::actors::payment::reconciliation::Reconciler;
use rentcar::http::reconciliation::{DifferenceDto, ReconciliationDto};
use rentcar::store::stored_schema::stored_schemas;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Longer than the service takes before it gives up.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);
const PATH: &str = "/v1/admin/payment/reconciliation";

/// What is compared.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    data: Data,
    /// The payment provider's process, where the settings do not name it.
    #[arg(long, value_name = "URL")]
    payment_provider: Option<String>,
    /// Ask a running service to compare, instead of reading the store.
    #[arg(long, visible_alias = "url", value_name = "URL", conflicts_with_all = ["config", "data", "payment_provider"])]
    service: Option<ServiceUrl>,
    #[command(flatten)]
    caller: Caller,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    match &options.service {
        Some(url) => block_on(async { conclude(&asked(url, &options.caller).await?) }),
        None => block_on(async { conclude(&read(options).await?) }),
    }
}

async fn read(options: &Options) -> anyhow::Result<ReconciliationDto> {
    let mut config = options.data.config()?;
    if let Some(url) = &options.payment_provider {
        config.payment.provider_url.clone_from(url);
        config.check()?;
    }
    anyhow::ensure!(
        !config.payment.provider_url.is_empty(),
        "no payment provider is named: the sandbox inside the service keeps its record in memory, so that it can be \
         compared only while the service runs (`rentcar reconcile --service URL`); a provider process is named with \
         --payment-provider or in payment.provider_url"
    );
    let provider = Arc::new(remote_provider(&config)?);
    let journal = Arc::new(options.data.open()?);
    for stored in stored_schemas(&*journal).await? {
        let (kind, number, known) = (stored.kind.name, stored.number, stored.kind.schema);
        anyhow::ensure!(
            stored.compared().is_eq(),
            "the documents of kind {kind} have schema {number}, and this program reads schema {known}: start the service \
             once with this program, which makes older ones anew, or use the newer program that wrote them"
        );
    }
    let timeout = Duration::from_millis(config.payment.provider_timeout_ms);
    let bar = progress("records read");
    let count = |records| bar.set_position(records);
    let report = Reconciler::new(journal, provider, None, timeout).reconcile(&count).await;
    bar.finish_and_clear();
    Ok(ReconciliationDto::of(&report?))
}

async fn asked(url: &ServiceUrl, caller: &Caller) -> anyhow::Result<ReconciliationDto> {
    let service = Running::at(url, caller, ANSWER_WITHIN).await?;
    let bar = progress("the service compares");
    let response = service.request(reqwest::Method::GET, PATH).send().await;
    let response = response.with_context(|| format!("the service at {url} does not answer"))?;
    let status = response.status();
    let body = response.bytes().await.context("the answer broke off")?;
    bar.finish_and_clear();
    if status == reqwest::StatusCode::OK {
        return serde_json::from_slice(&body).context("the answer cannot be read");
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let detail = problem["detail"].as_str().unwrap_or("it gives no reason");
    anyhow::bail!("the service does not compare: {detail} (status {})", status.as_u16())
}

/// Prints the report, and fails if something differs.
fn conclude(report: &ReconciliationDto) -> anyhow::Result<()> {
    for DifferenceDto { payment_no, difference, here, there, sentence } in &report.differences {
        let payment_no = &payment_no.0;
        print_line(format_args!("{difference}: {payment_no}: {sentence} (here {here}, there {there})"))?;
    }
    let listed = u64::try_from(report.differences.len()).unwrap_or(u64::MAX);
    let total = report.differences_total;
    if total > listed {
        print_line(format_args!("{listed} differences are listed, {} more were not looked at twice", total - listed))?;
    }
    print_line(format_args!(
        "{} payments here compared with {} charges and {} refunds there",
        report.payments, report.charges, report.refunds
    ))?;
    let (charges, refunds) = (report.pending_charges, report.pending_refunds);
    print_line(format_args!("{charges} charges and {refunds} refunds pending, {total} differences"))?;
    anyhow::ensure!(report.agrees, "our payments and the provider's record differ: a person must see to it");
    Ok(())
}
