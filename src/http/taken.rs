//! An export as its reader takes it: in slices, so that a slow reader is told from one who takes nothing. Who takes
//! nothing for a minute, or too long for the whole, is cut off with their connection, and their place is another's.

use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;

use crate::error::Error;
use crate::http::line::Line;
use crate::vault::Export;

/// The next is asked for when most of this is on its way.
const SLICE: usize = 16 * 1024;

/// How often it is looked whether its time is over: who takes nothing lets the server ask for nothing either.
const LOOK: Duration = Duration::from_millis(500);

/// After an error nothing follows: whoever reads sees that the stream broke off.
pub(super) fn taken(export: Export, line: Option<Line>) -> impl Stream<Item = Result<Bytes, Error>> {
    if let Some((line, watched)) = line.zip(export.watched()) {
        actix_web::rt::spawn(async move {
            while watched.is_open() {
                if watched.is_over() {
                    line.cut();
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        });
    }
    try_unfold((export, Bytes::new()), async |(mut export, mut rest)| {
        let slice = slice(&mut export, &mut rest).await;
        if let Err(error) = &slice {
            tracing::error!(%error, "an export of the trail broke off");
        }
        Ok(slice?.map(|slice| (slice, (export, rest))))
    })
}

async fn slice(export: &mut Export, rest: &mut Bytes) -> Result<Option<Bytes>, Error> {
    export.note_taken()?;
    while rest.is_empty() {
        match export.next().await? {
            Some(piece) => *rest = Bytes::from(piece),
            None => return Ok(None),
        }
    }
    Ok(Some(rest.split_to(SLICE.min(rest.len()))))
}
