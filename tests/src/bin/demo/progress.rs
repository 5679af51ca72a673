//! The orders on their way, as they go.

use std::time::Duration;

use futures_util::future::join_all;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep};
use waybill_tests::{Environment, OrderView};

use crate::output::Output;
use crate::picture;
use crate::script::Act;

const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(150);

/// Shows the orders until all have ended, and gives what they came to.
pub(crate) async fn watch(
    output: &Output,
    environment: &Environment,
    acts: &[Act],
) -> Vec<OrderView> {
    output.heading("On their way");
    let started = Instant::now();
    let mut screen = Screen::new(output, acts);
    loop {
        let views = join_all(
            acts.iter()
                .map(async |act| environment.order(&act.order.id()).await),
        );
        let views = views.await;
        screen.show(output, acts, &views, started.elapsed());
        let open = views.iter().filter(|view| !view.is_final()).count();
        if open == 0 {
            screen.close(output, views.len(), started.elapsed());
            return views;
        }
        assert!(
            started.elapsed() < LIMIT,
            "{open} orders have not ended in time"
        );
        sleep(PAUSE).await;
    }
}

/// On a terminal a line for each order, drawn again; else a line for each change.
struct Screen {
    lines: Vec<ProgressBar>,
    /// They vanish with this.
    drawn: MultiProgress,
    last: Vec<String>,
}

impl Screen {
    fn new(output: &Output, acts: &[Act]) -> Self {
        let drawn = MultiProgress::new();
        let lines = if output.is_terminal { acts } else { &[] };
        let lines = lines.iter().map(|_| drawn.add(line())).collect();
        Self {
            lines,
            drawn,
            last: vec![String::new(); acts.len()],
        }
    }

    fn show(&mut self, output: &Output, acts: &[Act], views: &[OrderView], elapsed: Duration) {
        for (index, (act, view)) in acts.iter().zip(views).enumerate() {
            let text = format!(
                "{:>2}  {:<30}  {}",
                index + 1,
                act.title,
                picture::path(output, view)
            );
            if self.last[index] == text {
                continue;
            }
            match self.lines.get(index) {
                Some(line) if view.is_final() => line.finish_with_message(text.clone()),
                Some(line) => line.set_message(text.clone()),
                None => output.line(&format!("  {:5.1} s  {text}", elapsed.as_secs_f32())),
            }
            self.last[index] = text;
        }
        for line in &self.lines {
            line.tick();
        }
    }

    fn close(self, output: &Output, orders: usize, elapsed: Duration) {
        // What became of them is drawn below for good.
        let _ = self.drawn.clear();
        output.line(&format!(
            "  all {orders} ended within {:.1} s",
            elapsed.as_secs_f32()
        ));
    }
}

fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("  {spinner} {msg}");
    let bar = ProgressBar::new_spinner();
    style
        .map(|style| bar.clone().with_style(style))
        .unwrap_or(bar)
}
