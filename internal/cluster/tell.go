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
		names := make([]string, 0, len(a.Nodes))
		for _, id := range a.Nodes {
			names = append(names, id.String())
		}
		text := fmt.Sprintf("%d partitions begin anew, empty, as all who had them are gone: %s", a.Partitions, strings.Join(names, ", "))
		l.c.log.Error("state is lost: "+text, "term", term)
		l.event(EventLost, shard.NodeID{}, text)
	case agreement.Forgotten:
		l.c.log.Warn("missing node forgotten", "node", a.ID.String(), "term", term)
		l.event(EventForgotten, a.ID, "no longer waited for")
	case agreement.Refuse:
		l.c.metrics.impossible.Inc()
		l.c.loud.warn(a.From.Name+" "+a.Why, "a table or state of another node was refused", "from", a.From.String(), "reason", a.Why)
	}
}
