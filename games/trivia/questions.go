package trivia

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

//go:embed questions/*.json
var files embed.FS

// Sets names the shows in the box, sorted.
func Sets() []string {
	entries, err := files.ReadDir("questions")
	if err != nil {
		panic(fmt.Sprintf("trivia: embedded questions: %v", err)) // cannot be: the folder is part of the program
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return names
}

// Set gives one of the shows in the box, ready to open.
func Set(name string) (Show, error) {
	b, err := files.ReadFile("questions/" + name + ".json")
	if err != nil {
		return Show{}, fmt.Errorf("no set %q: there are %s", name, strings.Join(Sets(), ", "))
	}
	return ParseShow(b)
}

// Questions are those of general knowledge in the box.
func Questions() []Question {
	s, err := Set("general")
	if err != nil {
		panic(fmt.Sprintf("trivia: embedded questions: %v", err)) // a test reads them all
	}
	return s.Questions
}
