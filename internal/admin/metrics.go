package admin

import "github.com/prometheus/client_golang/prometheus"

// class sorts responses for the metric.
type class uint8

const (
	classOK       class = iota // 1xx, 2xx, 3xx
	classRefused               // 401, 403, 421
	classRequest               // other 4xx
	classFailed                // 5xx
	classSentinel              // one past the last
)

var classNames = [classSentinel]string{"ok", "refused", "request", "failed"}

func classOf(status int) class {
	switch {
	case status < 400:
		return classOK
	case status == 401, status == 403, status == 421:
		return classRefused
	case status < 500:
		return classRequest
	default:
		return classFailed
	}
}

type metrics struct {
	requests [classSentinel]prometheus.Counter
	streams  prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gamed_admin_requests_total", Help: "Requests to the admin port, by outcome."}, []string{"outcome"})
	m := &metrics{streams: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "gamed_admin_streams", Help: "Event streams open on the admin port."})}
	for c, name := range classNames {
		m.requests[c] = vec.WithLabelValues(name)
	}
	reg.MustRegister(vec, m.streams)
	return m
}
