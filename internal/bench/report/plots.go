package report

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// drawn is a plot that stands in a file.
type drawn struct{ title, file string }

// inks are told apart by everybody (Okabe and Ito), also in grey.
var inks = []color.RGBA{
	{0, 114, 178, 255},
	{213, 94, 0, 255},
	{0, 158, 115, 255},
	{204, 121, 167, 255},
	{230, 159, 0, 255},
	{86, 180, 233, 255},
	{0, 0, 0, 255},
}

// Plot draws what the rows that ran give, as SVG files in a folder.
func (r Report) Plot(folder string) ([]drawn, error) {
	var all []drawn
	for _, p := range []struct {
		title, file string
		draw        func(*plot.Plot) bool // false: there is nothing to draw
		width       vg.Length
	}{
		{"Throughput: reads", "throughput-reads.svg", r.bars("requests/s", "list", "repeated", "filtered"), 9 * vg.Inch},
		{"Throughput: writes", "throughput-writes.svg", r.bars("entries/s", "batches", "single"), 9 * vg.Inch},
		{"Latency at half the maximum rate", "latency.svg", r.latencies, 8 * vg.Inch},
		{"CPU of a list with its total, by size", "cost.svg", r.lines("cost", "entries in all", "µs of backend CPU"), 8 * vg.Inch},
		{"Buffers of a page with its total, by size", "buffers.svg", r.lines("buffers", "entries in all", "buffers"), 8 * vg.Inch},
	} {
		canvas := plot.New()
		canvas.Title.Text = p.title
		canvas.Title.Padding = vg.Points(8)
		if !p.draw(canvas) {
			continue
		}
		if err := save(canvas, p.width, filepath.Join(folder, p.file)); err != nil {
			return nil, err
		}
		all = append(all, drawn{p.title, p.file})
	}
	return all, nil
}

// save writes SVG on white ground: a viewer's own may be black.
func save(p *plot.Plot, width vg.Length, file string) error {
	p.BackgroundColor = color.White
	height := width * 5 / 9
	canvas := vgsvg.New(width, height)
	p.Draw(draw.Crop(draw.New(canvas), vg.Points(6), -vg.Points(12), vg.Points(6), -vg.Points(6)))
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = canvas.WriteTo(f)
	return err
}

func (r Report) row(name string) (Result, bool) {
	i := slices.IndexFunc(r.Rows, func(row Result) bool { return row.Name == name })
	if i < 0 {
		return Result{}, false
	}
	return r.Rows[i], true
}

// bars draws the medians of series with a unit, side by side, on a scale of powers of ten:
// the naive form would vanish on another.
func (r Report) bars(unit string, rows ...string) func(*plot.Plot) bool {
	return func(p *plot.Plot) bool {
		var labels []string
		var values []float64
		for _, name := range rows {
			row, ran := r.row(name)
			if !ran {
				continue
			}
			for _, s := range row.Series {
				if s.Unit == unit && s.Median() > 0 {
					labels = append(labels, row.Name+": "+s.Name)
					values = append(values, s.Median())
				}
			}
		}
		if len(values) == 0 {
			return false
		}
		p.X.Label.Text = unit
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powers{}
		p.X.Min, p.X.Max = math.Pow(10, math.Floor(math.Log10(slices.Min(values)))), math.Pow(10, math.Ceil(math.Log10(slices.Max(values))))
		p.Y.Min, p.Y.Max = -0.6, float64(len(values))-0.4
		slices.Reverse(labels)
		slices.Reverse(values)
		ticks := make([]plot.Tick, len(labels))
		for i, v := range values {
			ticks[i] = plot.Tick{Value: float64(i), Label: labels[i]}
			ink := inks[1]
			if len(labels[i]) > 0 && isOurs(labels[i]) {
				ink = inks[0]
			}
			bar, err := plotter.NewPolygon(plotter.XYs{{X: p.X.Min, Y: float64(i) - 0.3}, {X: v, Y: float64(i) - 0.3}, {X: v, Y: float64(i) + 0.3}, {X: p.X.Min, Y: float64(i) + 0.3}})
			if err != nil {
				return false
			}
			bar.Color, bar.Width = ink, 0
			text, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: v, Y: float64(i)}}, Labels: []string{" " + number(v)}})
			if err != nil {
				return false
			}
			text.TextStyle[0].YAlign = draw.YCenter
			if v > math.Sqrt(p.X.Min*p.X.Max) { // no room beside it
				text.TextStyle[0].XAlign, text.TextStyle[0].Color = draw.XRight, color.White
				text.Labels[0] = number(v) + " "
			}
			p.Add(bar, text)
		}
		p.Y.Tick.Marker = plot.ConstantTicks(ticks)
		p.Y.Tick.Length, p.Y.Width = 0, 0
		return true
	}
}

func isOurs(label string) bool {
	_, after, _ := cut(label)
	return after == "service" || len(after) > 7 && after[:8] == "service,"
}

func cut(label string) (row, series string, found bool) {
	for i := range label {
		if label[i] == ':' {
			return label[:i], label[i+2:], true
		}
	}
	return label, "", false
}

// powers marks powers of ten, with their digits.
type powers struct{}

// Ticks implements plot.Ticker.
func (powers) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for power := math.Floor(math.Log10(low)); power <= math.Ceil(math.Log10(high)); power++ {
		at := math.Pow(10, power)
		for n := 1.0; n < 10; n++ {
			tick := plot.Tick{Value: at * n}
			if n == 1 {
				tick.Label = number(at)
			}
			if tick.Value >= low*0.999 && tick.Value <= high*1.001 {
				ticks = append(ticks, tick)
			}
		}
	}
	return ticks
}

// lines draws curves over sizes, both by powers of ten.
func (r Report) lines(name, x, y string) func(*plot.Plot) bool {
	return func(p *plot.Plot) bool {
		p.X.Label.Text, p.Y.Label.Text = x, y
		p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
		p.X.Tick.Marker, p.Y.Tick.Marker = powers{}, powers{}
		p.Legend.Top, p.Legend.Left = true, true
		count := r.curves(p, name, func(x float64) float64 { return x })
		p.Y.Min = math.Pow(10, math.Floor(math.Log10(p.Y.Min)))
		p.Y.Max = math.Pow(10, math.Ceil(math.Log10(p.Y.Max))+1) // room for the legend
		return count > 0
	}
}

// latencies draws percentiles so that each nine takes as much room as the one before.
func (r Report) latencies(p *plot.Plot) bool {
	p.X.Label.Text, p.Y.Label.Text = "percentile", "ms"
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, powers{}
	p.Legend.Top, p.Legend.Left = true, true
	nines := func(percentile float64) float64 { return -math.Log10(1 - percentile/100) }
	count := r.curves(p, "latency", nines)
	var ticks []plot.Tick
	for _, at := range []float64{0, 50, 90, 99, 99.9, 99.99} {
		ticks = append(ticks, plot.Tick{Value: nines(at), Label: fmt.Sprintf("%g", at)})
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Min = math.Pow(10, math.Floor(math.Log10(p.Y.Min)))
	p.Y.Max = math.Pow(10, math.Ceil(math.Log10(p.Y.Max)))
	return count > 0
}

func (r Report) curves(p *plot.Plot, name string, place func(float64) float64) int {
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	count := 0
	for _, row := range r.Rows {
		for _, c := range row.Curves {
			if c.Plot != name {
				continue
			}
			points := make(plotter.XYs, len(c.X))
			for i := range c.X {
				points[i] = plotter.XY{X: place(c.X[i]), Y: max(c.Y[i], 1e-3)}
			}
			line, marks, err := plotter.NewLinePoints(points)
			if err != nil {
				continue
			}
			ink := inks[count%len(inks)]
			line.Color, marks.Color, line.Width = ink, ink, vg.Points(1.5)
			marks.Shape, marks.Radius = draw.CircleGlyph{}, vg.Points(2)
			if count >= len(inks) {
				line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
			}
			p.Add(line, marks)
			p.Legend.Add(c.Name, line, marks)
			count++
		}
	}
	return count
}
