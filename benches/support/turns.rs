//! Opponents that take turns: A B C, B C A, C A B … within one run, so that whatever else the machine does meets all of
//! them alike. The first of them is the one whose ratio to each of the others is noted, round by round.

use super::results::{Mode, Results};
use futures_util::future::BoxFuture;
use std::future::Future;

/// How many rounds are measured.
const ROUNDS: usize = 7;

/// Measures one opponent once.
type Measure = Box<dyn Fn() -> BoxFuture<'static, anyhow::Result<f64>>>;

/// One of those who are measured beside each other.
pub struct Opponent {
    name: String,
    measure: Measure,
}

/// An opponent and how one figure of it is taken.
pub fn opponent<F>(name: &str, measure: impl Fn() -> F + 'static) -> Opponent
where
    F: Future<Output = anyhow::Result<f64>> + Send + 'static,
{
    Opponent { name: name.to_owned(), measure: Box::new(move || Box::pin(measure())) }
}

/// Measures all opponents in turns and adds their figures, and the first one's ratios to the others, to the results.
///
/// # Errors
/// When an opponent cannot be measured, or gave a wrong answer.
pub async fn take_turns(
    results: &mut Results,
    mode: Mode,
    case: &str,
    unit: &str,
    opponents: &[Opponent],
) -> anyhow::Result<()> {
    if !super::is_wanted(case) {
        return Ok(());
    }
    let mut figures = vec![Vec::with_capacity(ROUNDS); opponents.len()];
    // Round 0 is the warm-up and is not recorded; a fast run has no other.
    for round in 0..=mode.pick(ROUNDS, 0) {
        for turn in 0..opponents.len() {
            let who = (round + turn) % opponents.len();
            let figure = (opponents[who].measure)().await?;
            if round > 0 || mode == Mode::Fast {
                figures[who].push(figure);
            }
        }
    }
    let measured: Vec<_> = opponents.iter().map(|opponent| opponent.name.as_str()).zip(&figures).collect();
    for (name, figures) in &measured {
        results.add(case, name, unit, figures);
    }
    if let [(our, ours), others @ ..] = measured.as_slice() {
        for (their, theirs) in others {
            results.compare(case, (our, ours), (their, theirs));
        }
    }
    Ok(())
}
