//! `<retry>`.

use std::time::Duration;

use policy::elements::retry::Retry;
use policy::expression::Side;

use crate::exchange::{Exchange, Flow};
use crate::fault::Fault;

const SOURCE: &str = "retry";

pub(super) async fn apply(x: &mut Exchange, policy: &Retry) -> Result<Flow, Fault> {
    // A second attempt needs the body again.
    x.buffer(Side::Request, SOURCE).await?;
    let count = *x.value(&policy.count, SOURCE).await?;
    let interval = *x.value(&policy.interval, SOURCE).await?;
    let most = x
        .optional(policy.max_interval.as_ref(), SOURCE)
        .await?
        .map(|most| *most);
    let delta = x
        .optional(policy.delta.as_ref(), SOURCE)
        .await?
        .map(|delta| *delta);
    let fast = *x.value(&policy.first_fast_retry, SOURCE).await?;
    let mut repetition = 0;
    loop {
        let outcome = super::run(x, &policy.steps).await;
        if let Ok(Flow::Respond) = outcome {
            return Ok(Flow::Respond);
        }
        if repetition == count {
            return outcome;
        }
        let again = *x.value(&policy.condition, SOURCE).await?;
        if !again {
            return outcome;
        }
        x.failing = None;
        let pause = if repetition == 0 && fast {
            Duration::ZERO
        } else {
            pause(repetition, interval, most, delta)
        };
        repetition += 1;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

/// The published shapes: fixed with `interval` alone, linear with `delta`, exponential with `max-interval` and `delta`.
fn pause(
    repetition: u32,
    interval: Duration,
    most: Option<Duration>,
    delta: Option<Duration>,
) -> Duration {
    let grown = match (most, delta) {
        (_, None) => interval,
        (None, Some(delta)) => interval.saturating_add(delta.saturating_mul(repetition)),
        (Some(_), Some(delta)) => {
            let factor = 1_u32
                .checked_shl(repetition)
                .map_or(u32::MAX, |power| power - 1);
            interval.saturating_add(delta.saturating_mul(factor))
        }
    };
    most.map_or(grown, |most| grown.min(most))
}

#[cfg(test)]
mod tests {
    use super::pause;
    use std::time::Duration;

    #[test]
    fn pauses_grow_as_published() {
        let seconds = Duration::from_secs;
        let of = |most, delta| -> Vec<u64> {
            (0..4)
                .map(|repetition| pause(repetition, seconds(10), most, delta).as_secs())
                .collect()
        };
        assert_eq!(of(None, None), [10, 10, 10, 10]);
        assert_eq!(of(None, Some(seconds(10))), [10, 20, 30, 40]);
        assert_eq!(of(Some(seconds(60)), Some(seconds(10))), [10, 20, 40, 60]);
    }
}
