package bench

import (
	"fmt"
	"html"
	"io"
)

// Sizes of the plot, in pixels.
const (
	plotWidth   = 860
	plotNames   = 300 // width of the column of names
	plotFigures = 150 // width of the column of figures
	plotLine    = 22
	plotHeading = 40
)

// plotStyle is readable on a light page and on a dark one.
const plotStyle = `<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.head { font-weight: 600 }
.faint { fill: #57606a }
.ours { fill: #1f6feb }
.other { fill: #8c959f }
.spread { stroke: #24292f; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.faint { fill: #9198a1 }
.ours { fill: #58a6ff }
.other { fill: #6e7681 }
.spread { stroke: #e6edf3 }
}
</style>
`

// plot draws the times of each case as bars, the slowest contender's at full
// length, with a line from the least to the largest.
func (r *Report) plot(w io.Writer) {
	height := plotHeading
	for _, o := range r.Cases {
		if n := len(o.drawn()); n > 0 {
			height += plotHeading + n*plotLine
		}
	}
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="title">`+"\n", plotWidth, height)
	fmt.Fprintf(w, "<title id=\"title\">Times of rocksnap and of others, case by case</title>\n%s", plotStyle)
	fmt.Fprintf(w, "<text class=\"faint\" x=\"8\" y=\"24\">Median time; shorter is better. The line goes from the least to the largest of %d rounds.</text>\n", r.Rounds)
	y := plotHeading
	for _, o := range r.Cases {
		if rows := o.drawn(); len(rows) > 0 {
			y = o.draw(w, rows, y)
		}
	}
	fmt.Fprintln(w, "</svg>")
}

// drawn are the contenders that took part.
func (o Outcome) drawn() []Figures {
	var rows []Figures
	for _, f := range o.Contenders {
		if f.Missing == "" && f.HighMs > 0 {
			rows = append(rows, f)
		}
	}
	return rows
}

func (o Outcome) draw(w io.Writer, rows []Figures, y int) int {
	most := 0.0
	for _, f := range rows {
		most = max(most, f.HighMs)
	}
	const room = plotWidth - plotNames - plotFigures
	fmt.Fprintf(w, "<text class=\"head\" x=\"8\" y=\"%d\">%s</text>\n", y+26, html.EscapeString(o.Name))
	y += plotHeading
	for i, f := range rows {
		class := "other"
		if i == 0 {
			class = "ours"
		}
		at := func(t float64) float64 { return plotNames + t/most*room }
		fmt.Fprintf(w, "<text x=\"16\" y=\"%d\">%s</text>\n", y+14, html.EscapeString(f.Name))
		fmt.Fprintf(w, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"14\"/>\n", class, plotNames, y+3, at(f.MedianMs)-plotNames)
		fmt.Fprintf(w, "<path class=\"spread\" d=\"M%.1f %dH%.1f\"/>\n", at(f.LowMs), y+10, at(f.HighMs))
		fmt.Fprintf(w, "<text class=\"faint\" x=\"%d\" y=\"%d\">%s, %.2f x</text>\n", plotWidth-plotFigures+10, y+14, ms(f.MedianMs), f.Ratio)
		y += plotLine
	}
	return y
}
