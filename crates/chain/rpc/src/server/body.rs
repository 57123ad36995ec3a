//! Reads a request whole before it counts as one.
//!
//! The server answers so many requests at a time, and one counts from its first line on. Whoever sends five hundred first
//! lines and then a byte now and then would shut it; so the body is read here, in front of that count, within a time and
//! a room of its own.

use crate::ServerLimits;
use futures::future::BoxFuture;
use http::{
    HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH},
};
use hyper::body::{Body, Bytes};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use std::{
    future::{poll_fn, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

/// Bytes of large bodies that are in memory together, if one of the greatest size is less.
const LARGE_BODIES: usize = 256 << 20;

/// A body that is no longer than this is not large: there is always room for it.
const SMALL: usize = 64 << 10;

/// The layer: lets a request through when all of it has come.
#[derive(Clone, Debug)]
pub struct BodyLayer {
    most: usize,
    patience: Duration,
    /// Room for large bodies.
    room: Arc<Semaphore>,
}

impl BodyLayer {
    /// With `max_request_size` and `body_timeout` of a server.
    pub fn new(limits: &ServerLimits) -> Self {
        let most = usize::try_from(limits.max_request_size).unwrap_or(usize::MAX);
        let room = Arc::new(Semaphore::new(LARGE_BODIES.max(most)));
        Self { most, patience: limits.body_timeout, room }
    }

    /// The request with its body in memory, and the room that it takes there.
    async fn read<B>(
        &self,
        request: HttpRequest<B>,
    ) -> Result<(HttpRequest, Option<OwnedSemaphorePermit>), StatusCode>
    where
        B: Body<Data = Bytes>,
    {
        let (head, body) = request.into_parts();
        let collected = tokio::time::timeout(self.patience, self.collect(body)).await;
        let (bytes, place) = collected.map_err(|_| StatusCode::REQUEST_TIMEOUT)??;
        Ok((HttpRequest::from_parts(head, HttpBody::from(bytes)), place))
    }

    /// Stops at what is too much; the server refuses that in its own words.
    async fn collect<B>(&self, body: B) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), StatusCode>
    where
        B: Body<Data = Bytes>,
    {
        let (mut body, mut bytes) = (pin!(body), Vec::new());
        let mut place: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
            let Ok(data) = frame.into_data() else { continue };
            bytes.extend_from_slice(&data);
            if bytes.len() > self.most {
                break;
            }
            if bytes.len() > SMALL {
                let held = place.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
                let more = u32::try_from(bytes.len() - held).map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
                let more = self.room.clone().try_acquire_many_owned(more);
                let more = more.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
                match &mut place {
                    Some(place) => place.merge(more),
                    None => place = Some(more),
                }
            }
        }
        Ok((bytes, place))
    }
}

/// The service around another one.
#[derive(Clone, Debug)]
pub struct BodyService<S> {
    inner: S,
    layer: BodyLayer,
}

impl<S> Layer<S> for BodyLayer {
    type Service = BodyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BodyService { inner, layer: self.clone() }
    }
}

impl<S, B> Service<HttpRequest<B>> for BodyService<S>
where
    S: Service<HttpRequest, Response = HttpResponse> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<jsonrpsee::core::BoxError>,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<HttpResponse, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        if request.method() != Method::POST {
            return Box::pin(self.inner.call(request.map(HttpBody::new)));
        }
        if announces_more(&request, self.layer.most) {
            return Box::pin(ready(Ok(refusal(StatusCode::PAYLOAD_TOO_LARGE))));
        }
        let (clone, layer) = (self.inner.clone(), self.layer.clone());
        // The clone has not been asked whether it is ready.
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            match layer.read(request).await {
                Ok((request, _place)) => inner.call(request).await,
                Err(status) => Ok(refusal(status)),
            }
        })
    }
}

/// Whether a request says that it is too long, which is refused unread. The server would do so, too, but takes 4 GiB and more
/// for no length at all, and waits for as much as it may read.
fn announces_more<B>(request: &HttpRequest<B>, most: usize) -> bool {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > most)
}

/// An answer to a request whose rest is not wanted any more.
fn refusal(status: StatusCode) -> HttpResponse {
    let text = match status {
        StatusCode::REQUEST_TIMEOUT => "the request took too long to arrive\n",
        StatusCode::PAYLOAD_TOO_LARGE => "the request is too large\n",
        StatusCode::SERVICE_UNAVAILABLE => "too many large requests at a time\n",
        _ => "the request could not be read\n",
    };
    let mut response = HttpResponse::new(HttpBody::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[tokio::test]
    async fn large_bodies_share_a_room_and_small_ones_need_none() {
        let limits = ServerLimits { max_request_size: 1 << 20, ..ServerLimits::default() };
        let room = Arc::new(Semaphore::new(100_000));
        let layer = BodyLayer { room: room.clone(), ..BodyLayer::new(&limits) };
        let seen = room.clone();
        let service = layer.layer(tower::service_fn(move |_: HttpRequest| {
            let mut response = HttpResponse::new(HttpBody::default());
            response.extensions_mut().insert(seen.available_permits());
            std::future::ready(Ok::<_, Infallible>(response))
        }));
        let answer = async |length: usize| {
            let request = HttpRequest::post("/").body(HttpBody::from(vec![b' '; length])).unwrap();
            service.clone().call(request).await.unwrap()
        };
        for (length, left) in [(SMALL, 100_000_usize), (90_000, 10_000)] {
            assert_eq!(answer(length).await.extensions().get(), Some(&left), "while it is answered");
            assert_eq!(room.available_permits(), 100_000, "afterwards");
        }
        assert_eq!(answer(100_001).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(room.available_permits(), 100_000);
        assert_eq!(answer((1 << 20) + 1).await.status(), StatusCode::OK, "the server says what is too long");
    }
}
