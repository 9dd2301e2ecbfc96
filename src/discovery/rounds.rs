//! How sure silence is: what may be filtered is asked in rounds, beside a
//! control.

/// After fewer rounds silence is never taken for a filter.
const MIN: u32 = 6;

/// More are not made.
const MAX: u32 = 20;

/// How unlikely it has to be that loss alone explains the silence.
const ENOUGH: f64 = 0.999;

/// The controls of a series of rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rounds {
    made: u32,
    answered: u32,
}

/// What to do after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Again,
    Enough,
    /// There is too much loss to tell.
    Hopeless,
}

impl Rounds {
    pub(super) fn make(&mut self) {
        self.made += 1;
    }

    pub(super) fn answer(&mut self) {
        self.answered += 1;
    }

    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// The part of the controls that was not answered.
    pub(super) fn loss(&self) -> Option<f64> {
        (self.made > 0).then(|| f64::from(self.made - self.answered) / f64::from(self.made))
    }

    /// How unlikely it is that all of the rounds were lost.
    pub(super) fn confidence(&self) -> f64 {
        self.confidence_of(self.made)
    }

    /// How unlikely it is that so many packets and their answers were lost.
    pub(super) fn confidence_of(&self, tries: u32) -> f64 {
        1.0 - self.likely_loss().powf(f64::from(tries))
    }

    /// A loss that the true one hardly exceeds: by Laplace's rule of succession,
    /// for where nothing was lost yet something may be, and the deviation of so
    /// few draws on top.
    fn likely_loss(&self) -> f64 {
        let draws = f64::from(self.made + 2);
        let mean = f64::from(self.made - self.answered + 1) / draws;
        (mean + (mean * (1.0 - mean) / draws).sqrt()).min(1.0)
    }

    pub(super) fn next(&self) -> Next {
        match () {
            () if self.made >= MIN && self.confidence() >= ENOUGH => Next::Enough,
            () if self.made >= MAX => Next::Hopeless,
            () => Next::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rounds that are made where every `nth` is answered.
    fn after(answers: impl Fn(u32) -> bool) -> (u32, Next) {
        let mut rounds = Rounds::default();
        while rounds.next() == Next::Again {
            rounds.make();
            if answers(rounds.made()) {
                rounds.answer();
            }
        }
        (rounds.made(), rounds.next())
    }

    #[test]
    fn the_more_is_lost_the_longer_it_takes() {
        assert_eq!(after(|_| true), (6, Next::Enough));
        assert_eq!(after(|n| n % 2 == 0), (16, Next::Enough));
        assert_eq!(after(|n| n % 3 == 0), (20, Next::Hopeless));
        assert_eq!(after(|n| n % 4 == 0), (20, Next::Hopeless));
        assert_eq!(after(|_| false), (20, Next::Hopeless));
    }

    #[test]
    fn the_confidence_is_what_it_says() {
        let rounds = Rounds { made: 6, answered: 6 };
        let likely = 0.125 + (0.125 * 0.875 / 8.0_f64).sqrt();
        assert!((rounds.confidence() - (1.0 - likely.powi(6))).abs() < 1e-12);
        assert_eq!(rounds.loss(), Some(0.0));
        let rounds = Rounds { made: 6, answered: 0 };
        assert!(rounds.confidence() < 0.1);
        assert_eq!(Rounds::default().loss(), None);
        assert!(Rounds::default().confidence().abs() < 1e-12);
    }
}
