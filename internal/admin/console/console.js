// The console of one node. It reads the API of its own port; event streams are read with fetch, because EventSource cannot send
// the bearer token that a port beyond loopback asks for.
"use strict";
const $ = (id) => document.getElementById(id);
const el = (tag, text, cls) => { const e = document.createElement(tag); if (text !== undefined) e.textContent = text; if (cls) e.className = cls; return e; };
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

let token = sessionStorage.getItem("gamed-token") || "";
let asking = null;

async function api(path, options = {}) {
  const headers = token ? { Authorization: "Bearer " + token } : {};
  const res = await fetch(path, { ...options, headers, cache: "no-store" });
  if (res.status === 401) {
    asking = asking || (async () => {
      token = (prompt("Token of this admin port:") || "").trim();
      sessionStorage.setItem("gamed-token", token);
      await wait(1000);
      asking = null;
    })();
    await asking;
    throw new Error("a token is needed");
  }
  if (!res.ok && res.status !== 503) {
    const body = await res.json().catch(() => ({}));
    throw new Error([body.error || res.statusText, body.hint].filter(Boolean).join("; "));
  }
  return res;
}
const get = async (path) => (await api(path)).json();

// stream calls f with each event's data, reconnecting for ever.
async function stream(path, f) {
  for (;;) {
    try {
      const res = await api(path());
      const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        rest += value;
        for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
          const data = rest.slice(0, end).split("\n").filter((l) => l.startsWith("data: ")).map((l) => l.slice(6)).join("\n");
          if (data) f(JSON.parse(data));
        }
      }
    } catch (e) { health("no answer: " + e.message, "failed"); }
    await wait(1000);
  }
}

function health(text, cls) { $("health").textContent = text; $("health").className = cls; }

// Charts: the last three minutes.
const keep = 180;
function chart(id, names, colours) {
  const data = [[], ...names.map(() => [])];
  const plot = new uPlot({
    width: $(id).clientWidth || 480, height: 170, cursor: { y: false },
    series: [{}, ...names.map((label, i) => ({ label, stroke: colours[i], width: 1.5, points: { show: false } }))],
    scales: { y: { range: (_, lo, hi) => [0, Math.max(hi, 1) * 1.1] } },
    axes: [{ stroke: "#888", grid: { stroke: "#8883" } }, { stroke: "#888", grid: { stroke: "#8883" }, size: 60 }],
  }, data, $(id));
  addEventListener("resize", () => plot.setSize({ width: $(id).clientWidth || 480, height: 170 }));
  return (t, values) => {
    data[0].push(t);
    values.forEach((v, i) => data[i + 1].push(v));
    if (data[0].length > keep) data.forEach((s) => s.shift());
    plot.setData(data);
  };
}
const colour = ["#3b7dd8", "#d8683b", "#3ba55d", "#a04bc8", "#c8a52b", "#2bb3c8", "#c82b6f", "#7a8a2b"];
const rates = chart("rates", ["calls", "pushes", "forwards"], colour);
const counts = chart("counts", ["sockets", "sessions"], colour);

let before = null;
let drawn = -1; // the term of the table on the page
function stats(s) {
  $("node").textContent = s.node;
  const t = Date.parse(s.time) / 1000;
  if (before && t > before.t) {
    const rate = (k) => Math.max(0, s[k] - before[k]) / (t - before.t);
    rates(t, [rate("calls"), rate("pushes"), rate("forwarded")]);
    counts(t, [s.connections, s.sessions]);
  }
  before = { t, ...s };
  if (s.term !== drawn) table().catch(() => {});
}

async function ready() {
  const r = await get("readyz");
  if (!r.ready) health("not ready: " + r.reasons.join("; "), "failed");
  else if (r.degraded.length) health("degraded: " + r.degraded.join("; "), "degraded");
  else health("ready", "ready");
}

async function members() {
  const rows = (await get("api/v1/members")).map((m) => {
    const tr = el("tr");
    tr.append(el("td", m.node), el("td", m.error ? m.state + ": " + m.error : m.state, m.state), el("td", m.addr),
      el("td", m.error ? "–" : m.rtt_ms.toFixed(2), "n"), el("td", m.partitions, "n"), el("td", m.error ? "–" : m.players, "n"));
    const td = el("td");
    if (m.state === "alive") {
      const b = el("button", "drain");
      b.onclick = async () => {
        if (!confirm("Move everything away from " + m.node + "? It stays running, empty.")) return;
        try { await api("api/v1/nodes/" + encodeURIComponent(m.node) + "/drain", { method: "POST" }); } catch (e) { alert(e.message); }
      };
      td.append(b);
    }
    tr.append(td);
    return tr;
  });
  $("members").tBodies[0].replaceChildren(...rows);
}

async function table() {
  const t = await get("api/v1/table");
  $("term").textContent = "term " + t.term + ", " + t.hash;
  const names = [...new Set(t.partitions.map((p) => p.owner))].sort();
  const of = (name) => name ? colour[names.filter(Boolean).indexOf(name) % colour.length] : "#8882";
  const c = $("partitions"), cols = 128, cell = 8;
  c.width = cols * cell; c.height = Math.ceil(t.partitions.length / cols) * cell;
  const g = c.getContext("2d");
  t.partitions.forEach((p, i) => {
    const x = (i % cols) * cell, y = Math.floor(i / cols) * cell;
    g.fillStyle = of(p.owner); g.fillRect(x, y, cell - 1, cell - 1);
    g.fillStyle = of(p.backup); g.fillRect(x + 4, y + 4, 3, 3);
  });
  c.title = "small squares: the backup";
  $("legend").replaceChildren(...names.map((n) => {
    const s = el("span"), i = el("i");
    i.style.background = of(n);
    s.append(i, (n || "nobody") + " " + t.partitions.filter((p) => p.owner === n).length);
    return s;
  }));
  drawn = t.term;
}

let player = "";
$("find").onsubmit = async (e) => {
  e.preventDefault();
  const key = $("key").value.trim();
  player = key.startsWith("player/") ? key.slice(7) : key.includes("/") ? "" : key;
  $("kick").hidden = true;
  try {
    const out = { located: await get("api/v1/locate?key=" + encodeURIComponent(player ? "player/" + player : key)) };
    if (player) {
      try { out.player = await get("api/v1/players/" + encodeURIComponent(player)); $("kick").hidden = false; } catch (err) { out.player = err.message; }
    }
    $("found").textContent = JSON.stringify(out, null, 2);
  } catch (err) { $("found").textContent = err.message; }
};
$("kick").onclick = async () => {
  if (!confirm("End the session of " + player + "?")) return;
  try { await api("api/v1/players/" + encodeURIComponent(player) + "/kick", { method: "POST" }); $("find").requestSubmit(); } catch (e) { alert(e.message); }
};

let last = 0;
function event(e) {
  if (e.seq <= last) { if (e.seq > 1) return; last = 0; $("events").replaceChildren(); } // the node was restarted
  last = e.seq;
  const li = el("li");
  li.append(el("time", new Date(e.time).toLocaleTimeString()), el("b", e.kind), el("span", [e.node, e.text].filter(Boolean).join(": ")));
  $("events").prepend(li);
  while ($("events").children.length > 200) $("events").lastChild.remove();
}

async function every(ms, f) { for (;;) { try { await f(); } catch (e) { health("no answer: " + e.message, "failed"); } await wait(ms); } }
stream(() => "api/v1/stats/stream", stats);
stream(() => "api/v1/events/stream", event);
every(1000, ready);
every(1500, members);
every(5000, table);
