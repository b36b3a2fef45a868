package config

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Field describes one setting.
type Field struct {
	Key     string // flag --key and YAML key
	Env     string // GAMED_KEY
	EnvFile string // secrets: GAMED_KEY_FILE, else ""
	Arg     string // placeholder in the help, "" for switches
	Default string
	Doc     string
	List    bool // may be repeated
	Switch  bool // needs no value
	off     string
	port    string
	secret  bool
	index   int
}

// Fields are all settings in the order of the struct. The slice is shared: do not change it.
func Fields() []Field { return fields() }

var fields = sync.OnceValue(func() []Field {
	t := reflect.TypeFor[Config]()
	out := make([]Field, 0, t.NumField())
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		f := Field{Key: tag.Get("key"), Arg: tag.Get("arg"), Default: tag.Get("default"), Doc: tag.Get("doc"), off: tag.Get("off"),
			port: tag.Get("port"), secret: tag.Get("secret") != "", index: i}
		if f.Key == "" {
			continue
		}
		f.Env = "GAMED_" + strings.ToUpper(strings.ReplaceAll(f.Key, "-", "_"))
		if f.secret {
			f.EnvFile = f.Env + "_FILE"
		}
		f.List = t.Field(i).Type.Kind() == reflect.Slice
		f.Switch = t.Field(i).Type.Kind() == reflect.Bool
		out = append(out, f)
	}
	return out
})

// Lookup is the field of a key.
func Lookup(key string) (Field, bool) {
	for _, f := range Fields() {
		if f.Key == key {
			return f, true
		}
	}
	return Field{}, false
}

// Show is the field's value in c as text, secrets redacted.
func (f Field) Show(c *Config) string {
	v := f.text(c)
	if !f.secret {
		return v
	}
	if u, err := url.Parse(v); err == nil && u.User != nil {
		return u.Redacted()
	}
	if strings.Contains(v, "@") { // looks like a URL with a password and is not one
		return "xxxxx"
	}
	return v
}

// Value is the field's value in c as a string, int, bool or []string, secrets redacted, durations as text.
func (f Field) Value(c *Config) any {
	switch v := f.value(c).Interface().(type) {
	case []string:
		return append([]string{}, v...)
	case int:
		return v
	case bool:
		return v
	default:
		return f.Show(c)
	}
}

func (f Field) value(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().Field(f.index) }

func (f Field) text(c *Config) string {
	switch v := f.value(c).Interface().(type) {
	case string:
		return v
	case int:
		if f.off != "" && strconv.Itoa(v) == f.off {
			return "off"
		}
		return strconv.Itoa(v)
	case bool:
		return strconv.FormatBool(v)
	case time.Duration:
		return v.String()
	case []string:
		return strings.Join(v, ",")
	default:
		panic(fmt.Sprintf("config: %s has a type without a text form: %T", f.Key, v))
	}
}

// set parses the values given for the field, more than one only for lists, and stores them in c.
func (f Field) set(c *Config, values []string) error {
	if len(values) == 0 {
		return errors.New("want a value")
	}
	v, last := f.value(c), strings.TrimSpace(values[len(values)-1])
	switch v.Interface().(type) {
	case string:
		if f.port != "" {
			last = withPort(last, f.port)
		}
		v.SetString(last)
	case int:
		if f.off != "" && last == "off" {
			last = f.off
		}
		n, err := strconv.Atoi(last)
		if err != nil {
			if f.off != "" {
				return fmt.Errorf("want a whole number or off, not %q", last)
			}
			return fmt.Errorf("want a whole number, not %q", last)
		}
		v.SetInt(int64(n))
	case bool:
		b, err := strconv.ParseBool(last)
		if err != nil {
			return fmt.Errorf("want true or false, not %q", last)
		}
		v.SetBool(b)
	case time.Duration:
		d, err := time.ParseDuration(last)
		if err != nil {
			return fmt.Errorf("want a time such as 500ms, 15s or 2m, not %q", last)
		}
		v.SetInt(int64(d))
	case []string:
		list := []string{}
		for _, s := range values {
			for part := range strings.SplitSeq(s, ",") {
				if part = strings.TrimSpace(part); part != "" {
					list = append(list, part)
				}
			}
		}
		v.Set(reflect.ValueOf(list))
	}
	return nil
}
