# Record, meet a conflict as a problem, read a resource's history, through the Ruby client.
require 'uri'
require 'ocore_audit'
require 'securerandom'

OcoreAudit.configure do |c|
  address = URI(ENV.fetch('OCORE_AUDIT_URL'))
  c.scheme = address.scheme
  c.host = "#{address.host}:#{address.port}"
  c.base_path = '/api'
  c.server_index = nil # else the server of the document, which has no host, goes before these
  c.access_token = ENV.fetch('TOKEN')
end

def check(right, what)
  puts "#{right ? 'ok  ' : 'FAIL'} ruby: #{what}"
  $failed ||= !right
end

audit = OcoreAudit::AuditApi.new
id = "rb#{SecureRandom.hex(6)}"
odd = "eu/rack 7/50%25 ü #{id}"
stored = audit.create_audit_log(OcoreAudit::NewAuditLog.new(id: id, action: 'a.b', resource_type: 't', resource_id: odd, after_state: { 'n' => nil, 'list' => [] }))
check(stored.id == id && stored.before_state.nil?, 'record')
check(stored.after_state.key?(:n) || stored.after_state.key?('n'), 'a null inside a state')
check(audit.list_audit_logs(resource_type: 't', resource_id: odd, per_page: 5).per_page == 5, 'list')
page = audit.list_resource_audit_logs('t', odd)
check(page.total == 1 && page.items.first.resource_id == odd, 'history')
begin
  audit.create_audit_log(OcoreAudit::NewAuditLog.new(id: id, action: 'other', resource_type: 't'))
  check(false, 'conflict')
rescue OcoreAudit::ApiError => e
  problem = OcoreAudit::Problem.build_from_hash(JSON.parse(e.response_body, symbolize_names: true))
  check(e.code == 409 && problem.id == id, 'conflict')
end
exit 1 if $failed
