//! The life of an allocation, as a table.

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was not asked for.
    Idle,
    /// It was asked for.
    Asking,
    /// It was asked for and is no longer wanted: what comes is given back.
    Abandoned,
    /// It is there.
    Live,
    /// It is being given back, and the owner hears of the end.
    Releasing,
    /// It is being given back, being of no use; the owner has heard of it.
    Returning,
    /// It is over.
    Ended,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// The owner wants it.
    Start,
    /// The server made it.
    Granted,
    /// The server made it, and it is of no use.
    Unfit,
    /// It was not made.
    Denied,
    /// It was refreshed.
    Refreshed,
    /// The server refuses to refresh it or has lost it, or it expired.
    Gone,
    /// The owner does not want it any more.
    Release,
    /// The server answered that it is given back, or never will.
    Returned,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Stay,
    /// Ask for it.
    Ask,
    /// Take it, and ask for what hangs on it.
    Take,
    /// Say that there is none.
    Fail,
    /// Say so, and give it back.
    FailAndReturn,
    /// Note how long it lasts now.
    Prolong,
    /// Say that it is gone.
    Lose,
    /// Wait for it in order to give it back.
    Abandon,
    /// Give it back.
    Return,
    /// Say that it is released.
    Finish,
    /// It is over.
    End,
}

impl State {
    /// The table.
    pub(super) fn step(self, happening: Happening) -> Step {
        use Happening::{Denied, Gone, Granted, Refreshed, Release, Returned, Start, Unfit};
        match (self, happening) {
            (State::Idle, Start) => Step::Ask,
            (State::Idle, Release) => Step::Finish,
            (State::Asking, Granted) => Step::Take,
            (State::Asking, Unfit) => Step::FailAndReturn,
            (State::Asking, Denied) => Step::Fail,
            (State::Asking, Release) => Step::Abandon,
            (State::Abandoned, Granted | Unfit) => Step::Return,
            (State::Abandoned, Denied) => Step::Finish,
            (State::Live, Refreshed) => Step::Prolong,
            (State::Live, Gone) => Step::Lose,
            (State::Live, Release) => Step::Return,
            (State::Releasing, Returned) => Step::Finish,
            (State::Returning, Returned) => Step::End,
            _ => Step::Stay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Happening; 8] = [
        Happening::Start,
        Happening::Granted,
        Happening::Unfit,
        Happening::Denied,
        Happening::Refreshed,
        Happening::Gone,
        Happening::Release,
        Happening::Returned,
    ];

    /// Every state with every event.
    #[test]
    fn the_whole_table() {
        use Step::{
            Abandon, Ask, End, Fail, FailAndReturn, Finish, Lose, Prolong, Return, Stay, Take,
        };
        let table = [
            (State::Idle, [Ask, Stay, Stay, Stay, Stay, Stay, Finish, Stay]),
            (State::Asking, [Stay, Take, FailAndReturn, Fail, Stay, Stay, Abandon, Stay]),
            (State::Abandoned, [Stay, Return, Return, Finish, Stay, Stay, Stay, Stay]),
            (State::Live, [Stay, Stay, Stay, Stay, Prolong, Lose, Return, Stay]),
            (State::Releasing, [Stay, Stay, Stay, Stay, Stay, Stay, Stay, Finish]),
            (State::Returning, [Stay, Stay, Stay, Stay, Stay, Stay, Stay, End]),
            (State::Ended, [Stay; 8]),
        ];
        for (state, row) in table {
            for (happening, expected) in ALL.into_iter().zip(row) {
                assert_eq!(state.step(happening), expected, "{state:?} and {happening:?}");
            }
        }
    }
}
