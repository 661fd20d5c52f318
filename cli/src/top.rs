//! What a running process tells of the processes that it traces, as somebody watches it: two readings of its
//! metrics, and what came between them.

mod exposition;
mod scrape;
mod table;
mod view;

pub use scrape::Scraper;
pub use table::table;
pub use view::View;
