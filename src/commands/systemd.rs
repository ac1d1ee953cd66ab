//! What systemd is told of the service where it started it (`Type=notify`, `WatchdogSec=`); elsewhere nothing happens.

use sd_notify::NotifyState;
use std::time::Duration;

/// The start is complete.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// A shutdown has begun.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

/// Tells again and again that the process lives, for as long as `lives` says so and this is polled: who is told no more
/// starts the process again. Never ends.
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
