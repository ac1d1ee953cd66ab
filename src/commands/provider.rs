//! `rentcar provider`: the sandbox payment provider as a process of its own, so that its ledger outlives the
//! service's crashes as a real provider's would.

use super::{block_on, listening, log_drained, print_line, shutdown_signal, telemetry};
use anyhow::Context as _;
use rentcar::config::{Listen, Log, LogFormat};
use rentcar::http::provider::standalone;
use rentcar::kit::server::{ServerLimits, serve};
use rentcar::providers::sandbox::Sandbox;

pub fn run(listen: &Listen) -> anyhow::Result<()> {
    let addresses = listen.addresses().with_context(|| format!("{} leads to no address", listen.host()))?;
    anyhow::ensure!(
        addresses.iter().all(|address| address.ip().is_loopback()),
        "the sandbox provider moves pretended money for whoever asks, so it listens on loopback addresses only, such as \
         127.0.0.1, and not on {listen}"
    );
    let address = *addresses.first().context("there is no address to listen on")?;
    telemetry::log(&Log { filter: "info,ractor=warn".to_owned(), format: LogFormat::Text })?;
    block_on(async move {
        let stop = shutdown_signal()?;
        let listener = listening::listen(address)?;
        let address = listener.local_addr().context("the address cannot be read")?;
        print_line(format_args!("rentcar provider is ready at http://{address}"))?;
        tracing::info!(
            service = format!("rentcar serve --payment-provider http://{address}"),
            settings = format!("http://{address}/settings"),
            "ready to be paid through, Ctrl-C stops it"
        );
        let service = warp::service(standalone(&Sandbox::new()));
        log_drained(serve(listener, service, ServerLimits::default(), stop).await);
        Ok(())
    })
}
