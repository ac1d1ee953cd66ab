//! Figures as they are found, round after round.

use crate::results::Results;

/// Figures by case, opponent and unit, in the order in which they were first found.
#[derive(Default)]
pub struct Found(Vec<Figures>);

struct Figures {
    case: String,
    opponent: String,
    unit: &'static str,
    rounds: Vec<f64>,
}

impl Figures {
    fn is_of(&self, case: &str, opponent: &str, unit: &str) -> bool {
        self.case == case && self.opponent == opponent && self.unit == unit
    }
}

impl Found {
    /// Takes a figure of one round.
    pub fn note(&mut self, case: &str, opponent: &str, unit: &'static str, figure: f64) {
        if let Some(figures) = self.0.iter_mut().find(|figures| figures.is_of(case, opponent, unit)) {
            figures.rounds.push(figure);
        } else {
            let (case, opponent) = (case.to_owned(), opponent.to_owned());
            self.0.push(Figures { case, opponent, unit, rounds: vec![figure] });
        }
    }

    /// The figures of all rounds so far.
    pub fn of(&self, case: &str, opponent: &str, unit: &str) -> &[f64] {
        let found = self.0.iter().find(|figures| figures.is_of(case, opponent, unit));
        found.map_or(&[], |figures| &figures.rounds)
    }

    /// Adds all of them to the results.
    pub fn add_to(&self, results: &mut Results) {
        for Figures { case, opponent, unit, rounds } in &self.0 {
            results.add(case, opponent, unit, rounds);
        }
    }
}
