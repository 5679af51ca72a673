//! Lanes take turns, so that what one has sent leaves before the next computes.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// In each round one lane goes on, and between two rounds the runtime does what
/// else there is to do.
///
/// Without rounds all lanes of a batch would compute in a row. A request is
/// written by its connection's own task, which then stands behind them all: the
/// first request would leave when the last is ready, and the batch would compute
/// before it waits, and not while.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<Round>);

#[derive(Debug, Default)]
struct Round {
    is_taken: bool,
    waiting: Vec<Waker>,
}

impl Turns {
    /// The lane, which goes on only when it is its turn.
    pub(crate) async fn of<L: Future>(&self, lane: L) -> L::Output {
        let mut lane = pin!(lane);
        poll_fn(|context| {
            let mut round = self.round();
            if round.is_taken {
                round.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
            round.is_taken = true;
            drop(round);
            lane.as_mut().poll(context)
        })
        .await
    }

    /// The output of the lane that finishes next; `None` when there is no lane.
    pub(crate) async fn next<L: Future>(
        &self,
        lanes: &mut FuturesUnordered<L>,
    ) -> Option<L::Output> {
        poll_fn(|context| {
            self.round().is_taken = false;
            let next = lanes.poll_next_unpin(context);
            // All, since one that has finished in the meantime would wake nobody.
            let waiting = std::mem::take(&mut self.round().waiting);
            waiting.into_iter().for_each(Waker::wake);
            next
        })
        .await
    }

    fn round(&self) -> MutexGuard<'_, Round> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::*;

    type Request = (usize, oneshot::Sender<()>);

    /// Asks twice, over a connection that a task of its own writes to.
    async fn lane(
        number: usize,
        connection: mpsc::UnboundedSender<Request>,
        log: &Mutex<Vec<String>>,
    ) {
        for _ in 0..2 {
            log.lock().unwrap().push(format!("{number} computes"));
            let (answer, answered) = oneshot::channel();
            connection.send((number, answer)).unwrap();
            answered.await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_a_lane_sends_leaves_before_the_next_one_computes() {
        let log = std::sync::Arc::new(Mutex::new(Vec::new()));
        let (connection, mut requests) = mpsc::unbounded_channel::<Request>();
        let written = std::sync::Arc::clone(&log);
        let answers = tokio::spawn(async move {
            // Whoever asks waits for the last to ask, as with a store that is slow.
            loop {
                let mut asked = Vec::new();
                while asked.len() < 3 {
                    let Some((number, answer)) = requests.recv().await else {
                        return;
                    };
                    written.lock().unwrap().push(format!("{number} leaves"));
                    asked.push(answer);
                }
                for answer in asked {
                    answer.send(()).unwrap();
                }
            }
        });
        let turns = Turns::default();
        let lanes = (1..=3).map(|number| turns.of(lane(number, connection.clone(), &log)));
        let mut lanes: FuturesUnordered<_> = lanes.collect();
        let mut finished = 0;
        while turns.next(&mut lanes).await.is_some() {
            finished += 1;
        }
        assert_eq!(finished, 3);
        drop(lanes);
        drop(connection);
        answers.await.unwrap();
        let log = log.lock().unwrap();
        let pairs: Vec<_> = log.chunks(2).map(|pair| pair.join(", ")).collect();
        let pair = |number| format!("{number} computes, {number} leaves");
        assert_eq!(pairs, [1, 2, 3, 1, 2, 3].map(pair));
    }
}
