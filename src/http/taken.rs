//! An export as its reader takes it: in slices, so that a slow reader is told from one who takes nothing. Who takes
//! nothing for a minute, or too long for the whole, is cut off, and their place is another's.

use actix_web::web::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;

use crate::error::Error;
use crate::vault::Export;

/// The next is asked for when most of this is on its way.
const SLICE: usize = 16 * 1024;

/// After an error nothing follows: whoever reads sees that the stream broke off.
pub(super) fn taken(export: Export) -> impl Stream<Item = Result<Bytes, Error>> {
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
