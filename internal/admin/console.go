package admin

import (
	"embed"
	"net/http"
	"path"
	"strings"
	"time"
)

// The console is plain files: a page, a script, a style, and uPlot (see uPlot.LICENSE) for the charts.
//
//go:embed console
var consoleFiles embed.FS

var started = time.Now()

func console(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	if name == "" {
		name = "console/index.html"
	}
	b, err := consoleFiles.ReadFile(name)
	if err != nil {
		fail(w, http.StatusNotFound, "no such file: "+r.URL.Path, "the console is at /")
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, name, started, strings.NewReader(string(b)))
}
