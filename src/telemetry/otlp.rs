//! Spans of ours to a collector, by OTLP over HTTP. A thread of its own sends them from a queue that has
//! an end: what does not fit is dropped, and no request waits. Only the fields that are named here go out.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;
use crate::telemetry::endpoint::OtlpEndpoint;
use crate::telemetry::trace::{SpanId, Trace, TraceId, hex};

/// Spans that may wait.
const QUEUE: usize = 2048;
/// How long a span waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// For one batch, from connecting to the answer read.
const SENT_WITHIN: Duration = Duration::from_secs(3);
/// What the collector gets at the end.
const ENDED_WITHIN: Duration = Duration::from_secs(1);

/// What a span may tell of itself. Nothing in these is a tenant's.
const FIELDS: &[&str] = &["request_id", "route", "method", "status", "problem", "transaction", "batch"];

/// Takes spans and passes them on when they close.
#[derive(Clone)]
pub(super) struct Spans {
    queue: Arc<BatchSpanProcessor>,
    scope: InstrumentationScope,
}

impl Spans {
    pub(super) fn to(endpoint: &OtlpEndpoint) -> Option<Self> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector::new()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint.to_string())
            .with_timeout(SENT_WITHIN)
            .build()
            .ok()?;
        let config =
            BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_scheduled_delay(GATHER).build();
        let mut queue = BatchSpanProcessor::new(exporter, config);
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let vault = Resource::builder_empty().with_service_name("pawl").with_attribute(version).build();
        queue.set_resource(&vault);
        Some(Self { queue: Arc::new(queue), scope: InstrumentationScope::builder("pawl").build() })
    }

    /// Whether a span is one of ours, and for the engineer.
    pub(super) fn is_ours(metadata: &Metadata) -> bool {
        metadata.is_span() && metadata.target().starts_with("pawl::")
    }

    /// Sends what waits, as far as the collector takes it in the time.
    pub(super) fn end(&self) {
        let _ = self.queue.shutdown_with_timeout(ENDED_WITHIN);
    }
}

/// A span that has not closed.
struct Open {
    trace: Trace,
    is_request: bool,
    started: SystemTime,
    fields: Fields,
}

#[derive(Default)]
struct Fields {
    trace: Option<TraceId>,
    span: Option<SpanId>,
    parent: Option<SpanId>,
    is_unsampled: bool,
    told: Vec<KeyValue>,
}

impl Fields {
    fn tell(&mut self, field: &Field, value: impl Into<Value>) {
        if FIELDS.contains(&field.name()) {
            self.told.push(KeyValue::new(field.name(), value));
        }
    }

    fn told(&self, name: &str) -> Option<&Value> {
        self.told.iter().find(|told| told.key.as_str() == name).map(|told| &told.value)
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "trace_id" => self.trace = hex(value).map(TraceId),
            "span_id" => self.span = hex(value).map(SpanId),
            "parent_id" => self.parent = hex(value).map(SpanId),
            _ => self.tell(field, value.to_owned()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.tell(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.is_unsampled |= field.name() == "unsampled" && value;
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes, id: &Id, context: Context<S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let above = span.parent().and_then(|above| above.extensions().get::<Open>().map(|open| open.trace));
        let own = fields.trace.zip(fields.span);
        let trace = match (own, above) {
            (Some((id, span)), _) => {
                Ok(Trace { id, span, parent: fields.parent, is_sampled: !fields.is_unsampled })
            }
            (None, Some(above)) => above.next(),
            (None, None) => Trace::begin(),
        };
        let Ok(trace) = trace else { return };
        span.extensions_mut().insert(Open { trace, is_request: own.is_some(), started: now(), fields });
    }

    fn on_record(&self, id: &Id, values: &Record, context: Context<S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        if open.trace.is_sampled {
            self.queue.on_end(open.close(span.name(), self.scope.clone()));
        }
    }
}

impl Open {
    fn close(self, name: &'static str, instrumentation_scope: InstrumentationScope) -> SpanData {
        let Self { trace, is_request, started, fields } = self;
        let name: Cow<'static, str> = match (fields.told("transaction"), fields.told("method")) {
            (Some(transaction), _) => transaction.as_str().into_owned().into(),
            (None, Some(method)) => {
                let route = fields.told("route").map(Value::as_str).unwrap_or_default();
                format!("{} {route}", method.as_str()).into()
            }
            (None, None) => name.into(),
        };
        let is_failed = matches!(fields.told("status"), Some(Value::I64(500..)));
        SpanData {
            span_context: SpanContext::new(
                opentelemetry::TraceId::from_bytes(trace.id.0),
                opentelemetry::SpanId::from_bytes(trace.span.0),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: opentelemetry::SpanId::from_bytes(trace.parent.map_or([0; 8], |parent| parent.0)),
            parent_span_is_remote: is_request,
            span_kind: if is_request { SpanKind::Server } else { SpanKind::Internal },
            name,
            start_time: started,
            end_time: now(),
            attributes: fields.told,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if is_failed { Status::error("") } else { Status::Unset },
            instrumentation_scope,
        }
    }
}

fn now() -> SystemTime {
    let micros = u64::try_from(Clock::system().now().micros()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_micros(micros)
}

/// The collector, reached as everything else is: reqwest, rustls, ring.
struct Collector {
    http: reqwest::Client,
    /// Driven by the queue's thread, which waits on it and on nothing else.
    runtime: tokio::runtime::Runtime,
    is_away: AtomicBool,
}

impl Collector {
    fn new() -> Option<Self> {
        // Fails when it was chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(SENT_WITHIN)
            .resolve("localhost", SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0))
            .build()
            .ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        Some(Self { http, runtime, is_away: AtomicBool::new(false) })
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        // Of an answer the status says enough.
        let status =
            self.runtime.block_on(async { self.http.execute(request).await.map(|answer| answer.status()) });
        let is_away = !status.as_ref().is_ok_and(|status| status.is_success());
        if self.is_away.swap(is_away, Ordering::SeqCst) != is_away {
            match is_away {
                true => tracing::warn!("the collector takes no spans (PAWL_OTLP_ENDPOINT); they are dropped"),
                false => tracing::info!("the collector takes spans again"),
            }
        }
        Ok(Response::builder().status(status?).body(Bytes::new())?)
    }
}
