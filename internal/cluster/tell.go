package cluster

import (
	"fmt"
	"strings"

	"gamed/internal/cluster/agreement"
	"gamed/internal/shard"
)

// tellOf tells operators what came of a split or of a loss. They are told by the node that made the table.
func (l *loop) tellOf(a agreement.Action) {
	term := l.machine.Table().Term
	switch a := a.(type) {
	case agreement.Absorbed:
		text := fmt.Sprintf("the side of %s with table %d and %d nodes is taken in", a.Rival.Coordinator, a.Rival.Term, len(a.Rival.Nodes))
		l.c.log.Warn("two sides of a split are one again: "+text, "term", term)
		l.event(EventAbsorbed, shard.NodeID{Name: a.Rival.Coordinator}, text)
	case agreement.Emptied:
		text := fmt.Sprintf("%d partitions begin anew, with nothing but what copies are left, as all who had them are gone: %s", a.Partitions, names(a.Nodes))
		l.c.metrics.lost.Add(float64(a.Partitions))
		l.c.log.Error("state is lost: "+text, "term", term)
		l.event(EventLost, shard.NodeID{}, text)
	case agreement.Partial:
		text := fmt.Sprintf("%d partitions go on with what copies there are, as their backups were not full yet: %s", a.Partitions, names(a.Nodes))
		l.c.metrics.partial.Add(float64(a.Partitions))
		l.c.log.Warn("changes may be lost: "+text, "term", term)
		l.event(EventPartial, shard.NodeID{}, text)
	case agreement.Forgotten:
		l.c.log.Warn("missing node forgotten", "node", a.ID.String(), "term", term)
		l.event(EventForgotten, a.ID, "no longer waited for")
	case agreement.Refuse:
		l.c.metrics.impossible.Inc()
		l.c.loud.warn(a.From.Name+" "+a.Why, "a table or state of another node was refused", "from", a.From.String(), "reason", a.Why)
	}
}

func names(ids []shard.NodeID) string {
	var all []string
	for _, id := range ids {
		all = append(all, id.String())
	}
	return strings.Join(all, ", ")
}
