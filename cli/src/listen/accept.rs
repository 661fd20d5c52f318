//! The next connection of a server that has room for so many.

use super::limits::LOOK;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The next connection, and its room until it has ended; none where there is no room or no connection for a
/// moment, so that whoever asks again can look whether to stop.
pub async fn next(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let room = timeout(LOOK, connections.clone().acquire_owned()).await.ok()?.ok()?;
    match timeout(LOOK, listener.accept()).await.ok()? {
        Ok((stream, _)) => {
            // Answers are short, and awaited: none is to wait for more.
            let _ = stream.set_nodelay(true);
            Some((stream, room))
        }
        Err(error) => {
            // Mostly a lack of file descriptors, which ends when others close theirs.
            tracing::warn!(%error, "a connection cannot be accepted");
            tokio::time::sleep(LOOK).await;
            None
        }
    }
}
