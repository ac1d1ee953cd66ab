//! Notifies systemd if it has started the service (`Type=notify`, `WatchdogSec=`), and does nothing otherwise.

use sd_notify::NotifyState;
use std::time::Duration;

pub fn ready() {
    tell(NotifyState::Ready);
}

pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// Sends the watchdog's keep-alive while `lives` is true and this is polled; without it systemd restarts the process.
/// Never ends.
pub async fn watchdog(lives: impl Fn() -> bool) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        if lives() {
            tell(NotifyState::Watchdog);
        }
        tokio::time::sleep((patience / 3).max(Duration::from_millis(100))).await;
    }
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}
